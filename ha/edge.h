/* edge.h - the home agent's I/O. */
#pragma once
#include <systemd/sd-event.h>
#include "common/os/daemon.h"
#include "ha/conf.h"

struct ha_edge;
/* Sets everything up and starts to serve; 'file' is borrowed.  'flush': forgets all bindings.  0,
 * or -errno after a line in the log; ha_edge_close() in any case. */
int ha_edge_open(struct ha_edge **, sd_event *, struct ha_file *file, bool flush);
/* Reads the configuration again.  0, or -errno and 'why': all is as it was. */
int ha_edge_reload(struct ha_edge *, char why[WHY_SIZE]);
void ha_edge_status(void *edge, char out[DAEMON_STATUS_SIZE]); /* what it does, for systemd */
/* 'keep': what forwards stays in the kernel, for a run to come; else tunnels and routes go.
 * Accepts NULL. */
void ha_edge_close(struct ha_edge *, bool keep);
