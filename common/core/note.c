/* note.c - names and levels of notes. */
#include "common/core/note.h"

static const struct {
	const char *event;
	int level;
} notes[NOTE_N] = {
#define X(name, event, level, text) [NOTE_##name] = {event, level},
	NOTES(X)
#undef X
};

const char *note_event(enum note_type type)
{
	return notes[type].event;
}

int note_level(enum note_type type)
{
	return notes[type].level;
}
