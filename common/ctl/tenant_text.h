/* tenant_text.h - the list 'routers' in the text of a home agent's configuration: where it is, and
 * the text without one of its elements.  All else, comments too, stays as it is written. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct tenant_list {     /* offsets in the text */
	size_t end;      /* of the list: its closing bracket */
	size_t last;     /* behind its last element; 0: there is none */
	size_t from, to; /* the element asked for; to = 0: there is none */
	size_t before;   /* behind the one before it; 0: it is the first */
};

/* Finds the list at the top level, and its element 'nth' (from 0; -1: none).  False: there is no
 * such list.  The text is one that libconfig has read. */
bool tenant_text_find(const char *text, int nth, struct tenant_list *);
/* Cuts the element that was found, with a comma, and its line if nothing else is on it. */
void tenant_text_cut(char *text, const struct tenant_list *);
