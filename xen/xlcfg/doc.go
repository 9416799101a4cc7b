// Package xlcfg writes and reads domain configurations in the syntax of
// xl.cfg(5).
//
// Render turns a xen.Spec into the text that xl create takes. It is the only
// writer of such text in the SDK: every string in it is quoted, and what xl
// would take apart again (the values of disk and vif) is built of checked
// parts, so no customer's string can add an option.
//
//	text, err := xlcfg.Render(spec)
//
// Parse reads any configuration by xl's own grammar, with its errors, and
// Config.Spec makes a xen.Spec of it, so that domains which somebody wrote by
// hand can be taken over:
//
//	config, err := xlcfg.Parse("/etc/xen/web1.cfg", text)
//	spec, unknown, err := config.Spec()
//
// What a Spec can not hold is named in unknown, and what would run programs of
// the file's choice in dom0, or hand out dom0's hardware, is refused.
package xlcfg
