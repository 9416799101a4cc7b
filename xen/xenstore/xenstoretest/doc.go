// Package xenstoretest is a xenstored in memory, and the suite that it and the
// real one pass.
//
//	server := xenstoretest.New(nil)
//	store := server.Dial(nil)                 // a xenstore.Client, as dom0
//	guest := server.DialAs(5, nil)            // as the kernel of domain 5: permissions and quotas hold
//	server.Introduce(5)                       // rings @introduceDomain
//	server.Release(5)                         // rings @releaseDomain
//	server.Conflict(2)                        // the next two transactions meet a conflict
//	server.Hang()                             // xenstored answers nobody
//	server.Restart()                          // all connections end; what was stored stays
//	err := server.Listen(ctx, "/tmp/socket")  // for whoever dials a socket: $XENSTORED_PATH
//
// It follows the C daemon of Xen 4.17: transactions conflict on the nodes that
// they touched and no others, a new node inherits the permissions of the one
// above, guests have quotas and dom0 has none, and a message above 4096 bytes
// ends the connection.
//
// What it leaves out: introducing a domain by a request, the quotas of memory
// and of outstanding requests, and all that is newer than 4.17.
package xenstoretest
