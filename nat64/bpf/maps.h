/* maps.h - what the daemon and xlat.bpf.c must agree on besides the configuration itself. */
#pragma once

/* A configuration lives in a slot: an entry of 'confs' and one of 'tables'.  One is in use, the
 * other is empty, but for the moment of a swap.  Configurations are numbered, from 0. */
#define NAT64_N_SLOTS  2
#define NAT64_SLOT(nr) ((nr) % NAT64_N_SLOTS)
