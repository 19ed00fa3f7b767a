/* networkd.h - what systemd-networkd is to do on the inside interfaces. */
#pragma once

/* Writes DIR/50-nemo-INTERFACE.network for each interface of the configuration's networks: the
 * first address of each prefix's first /64, and router advertisements for it (RFC 3963 s5: towards
 * its network a mobile router is an ordinary router).  Uplinks are left alone.  Returns the exit
 * code; reasons go to stderr. */
int mr_networkd(const char *conf, const char *dir);
