/* twin.c - two routers with one identity: a virtual machine cloned from a snapshot of a running
 * one, or one configuration given out twice.  Each of them registers what the other has left, so
 * the binding goes to and fro.  A router that moves does that as well; but it goes on counting its
 * updates (RFC 6275 s11.7.1) and keeps its keys.  A twin does not know the number that its sibling
 * came to: its update is refused with status 135 (s9.5.1), and with the number that the answer
 * tells it takes the binding.  Or its keys are gone, since there is one pair of them for a home
 * address, and it comes with new ones.  A router that was restarted elsewhere does that once: it is
 * the third such claim in a row, each from another address than the one before, that is told.
 * Nothing is refused: which of the two is the right one is the operator's to say. */
#include <stdio.h>
#include "ha/binding.h"

#define CLAIMS    3
#define WINDOW_MS 600000 /* between one claim and the next */

static void tell(struct ha_peer *p, struct ha_out *out)
{
	char here[INET6_ADDRSTRLEN], there[INET6_ADDRSTRLEN], text[200];

	snprintf(text, sizeof(text),
		"two routers have this identity, at %s and at %s: a clone? Stop one of them, or "
		"give it a home address and keys of its own",
		addr6_str(&p->b.coa, here), addr6_str(&p->twin.other, there));
	ha_note(out, NOTE_BINDING_CONTESTED, p, &p->conf->hoa, -1, text);
	out->v[out->n - 1].note.coa = p->b.coa;
	out->v[out->n - 1].note.old_coa = p->twin.other;
}

void ha_twin_refused(struct ha_peer *p, const struct in6_addr *coa)
{
	p->twin.stale = *coa;
}

void ha_twin_accepted(struct ha *ha, struct ha_peer *p, const struct in6_addr *from, uint32_t spi,
	uint64_t now, struct ha_out *out)
{
	struct ha_twin *t = &p->twin;
	bool new_keys = t->spi && spi != t->spi;
	bool claim = !addr6_eq(from, &p->b.coa) && (new_keys || addr6_eq(&t->stale, &p->b.coa));

	t->spi = spi;
	t->stale = in6addr_any;
	if (!claim)
		return;
	if (now - t->claimed >= WINDOW_MS)
		t->claims = 0;
	t->claims += !t->claims || !addr6_eq(&t->last, &p->b.coa);
	t->claimed = now;
	t->last = p->b.coa;
	t->other = *from;
	if (t->claims < CLAIMS)
		return;
	ha->counters[HA_C_contested]++;
	if (t->claims == CLAIMS)
		tell(p, out);
}

const struct in6_addr *ha_twin_at(const struct ha_peer *p, uint64_t now)
{
	return p->twin.claims >= CLAIMS && now - p->twin.claimed < WINDOW_MS ? &p->twin.other
									     : NULL;
}
