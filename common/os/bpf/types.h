/* types.h - the integer types that the kernel's programs and the daemons share.  Every header used
 * from both sides takes them from here: glibc's <stdint.h> does not compile for -target bpf. */
#pragma once
#include <linux/types.h>

struct ip6 {
	__u32 w[4];
}; /* IPv6 address in wire order */
