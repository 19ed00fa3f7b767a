/* edge.h - the mobile router's I/O. */
#pragma once
#include <systemd/sd-event.h>
#include "common/os/daemon.h"
#include "mr/conf.h"

struct mr_edge;
/* Sets everything up and starts to look for a link; 'file' is borrowed.  0, or -errno after a line
 * in the log; mr_edge_close() in any case. */
int mr_edge_open(struct mr_edge **, sd_event *, struct mr_file *file);
/* Reads the configuration again.  0, or -errno and 'why': all is as it was. */
int mr_edge_reload(struct mr_edge *, char why[WHY_SIZE]);
/* De-registers, or with 'keep' leaves the binding and the tunnel for a restart; then ends the loop.
 */
void mr_edge_stop(struct mr_edge *, bool keep);
void mr_edge_close(struct mr_edge *); /* accepts NULL */
