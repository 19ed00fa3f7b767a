/* bul.h - between bul.c (the states), bul_send.c (updates) and bul_answer.c (what answers lead to);
 * nobody else's. */
#pragma once
#include "mr/core.h"

#define MAX_BINDACK_MS 32000 /* MAX_BINDACK_TIMEOUT, RFC 6275 s12 */
#define UPDATE_RATE_MS 1050  /* MAX_UPDATE_RATE: 3 in one second, and slack for a loaded host */
#define RETRY_FIRST_MS 2000
#define RETRY_MAX_MS   300000

/* bul.c */
void bul_begin(struct mr *, enum bul_state); /* back-off anew; numbers sent before don't count */
void bul_start(struct mr *, enum bul_state); /* and sends */
void bul_new_round(struct bul *);            /* every home agent may be asked again */
void bul_closing_timeout(struct mr *);

/* bul_send.c */
void bul_send(struct mr *); /* now, or as soon as the limit of RFC 6275 s11.8 allows */
/* An update to 'ha', whatever the limit says; returns the lifetime asked for. */
uint32_t bul_put_update(struct mr *, unsigned ha, bool closing);
uint64_t bul_next_slot(const struct bul *); /* ms; when the limit allows the next one */

/* bul_answer.c */
void bul_tell_retry(struct mr *, const char *why, const char *what, uint64_t wait_ms);
void bul_take_next_ha(struct mr *); /* when this one has had its time (s11.4.1) */
bool bul_next_ha(struct mr *);      /* false: all were asked in this round */
void bul_conclude(struct mr *);     /* none of them accepts */
void bul_closed(struct mr *, bool answered);
