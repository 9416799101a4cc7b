package cpuid

import "strings"

// names are what the bits of the words are called, from bit 0; a dash has no
// name of its own.
func names() map[string][]string {
	all := make(map[string][]string)
	for word, list := range map[string]string{
		"1d":  `fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 psn clfsh - ds acpi mmx fxsr sse sse2 ss htt tm ia64 pbe`,
		"1c":  `sse3 pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cnxt-id sdbg fma cx16 xtpr pdcm - pcid dca sse4.1 sse4.2 x2apic movbe popcnt tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor`,
		"e1d": `- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - ffxsr pdpe1gb rdtscp - lm 3dnowext 3dnow`,
		"e1c": `lahf cmp-legacy svm extapic cr8-legacy lzcnt sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid-msr - tbm topoext perfctr-core perfctr-nb - dbext perftsc perfctr-llc monitorx`,
		"Da1": `xsaveopt xsavec xgetbv1 xsaves xfd`,
		"7b0": `fsgsbase tsc-adjust sgx bmi1 hle avx2 fdp-excptn smep bmi2 erms invpcid rtm pqm fpcsds mpx pqe avx512f avx512dq rdseed adx smap avx512-ifma - clflushopt clwb pt avx512pf avx512er avx512cd sha avx512bw avx512vl`,
		"7c0": `prefetchwt1 avx512-vbmi umip pku ospke waitpkg avx512-vbmi2 cet-ss gfni vaes vpclmulqdq avx512-vnni avx512-bitalg tme avx512-vpopcntdq - la57 - - - - - rdpid kl bus-lock-detect cldemote - movdiri movdir64b enqcmd sgx-lc pks`,
		"7d0": `- sgx-keys avx512-4vnniw avx512-4fmaps fsrm uintr - - avx512-vp2intersect srbds-ctrl md-clear rtm-always-abort - tsx-force-abort serialize hybrid tsxldtrk - pconfig arch-lbr cet-ibt - amx-bf16 avx512-fp16 amx-tile amx-int8 ibrs stibp l1d-flush arch-caps core-caps ssbd`,
		"7a1": `sha512 sm3 sm4 - avx-vnni avx512-bf16 - - - - fzrm fsrs fsrcs`,
		"e7d": `- - - - - - - - invariant-tsc`,
		"e8b": `clzero - rstr-fp-err-ptrs - - - - - - wbnoinvd - - amd-ibpb - amd-ibrs amd-stibp ibrs-always stibp-always ibrs-preferred ibrs-same-mode no-lmsle - - ppin amd-ssbd virt-ssbd ssb-no - psfd btc-no ibpb-ret`,
	} {
		bits := strings.Fields(list)
		for i, name := range bits {
			if name == "-" {
				bits[i] = ""
			}
		}
		all[word] = bits
	}
	return all
}
