package xen

// Need is how much of a host's free memory Xen takes for a domain of this
// spec, in bytes: its memory, 4 KiB for each MiB that it may grow to and 1 MiB
// for each vCPU for the page tables and the like, and 2 MiB to spare, in whole
// 2 MiB
// (libxl__get_required_paging_memory and libxl_domain_need_memory in
// tools/libs/light of Xen 4.17; for a PV domain it is up to 2 MiB less).
func (s Spec) Need() int64 {
	const mib = 1 << 20
	s = s.WithDefaults()
	pages := int64(256*s.MaxVCPUs) + s.MaxMemory/mib
	total := s.Memory + pages*4096 + 2*mib
	return (total + 2*mib - 1) / (2 * mib) * (2 * mib)
}
