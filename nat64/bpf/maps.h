/* maps.h - what the daemon and xlat.bpf.c must agree on besides the configuration itself. */
#pragma once

/* A configuration lives in a slot: an entry of 'confs' and one of 'tables'.  One is in use, the
 * other is empty, but for the moment of a swap. */
#define NAT64_N_SLOTS 2
