/* text.h - the daemons' data as text for people.  Everything is made of keys, since keys carry
 * their units: "remaining_s" is the column REMAINING, and "598" in it is "9 min 58 s".  A list of
 * keys is separated by blanks; "ms.rs" is member "rs" of object "ms". */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#define TEXT_KEY_SIZE 32
#define TEXT_SIZE     4096 /* the longest, 32 prefixes, are 1500 octets */

/* Takes the next of the keys; false at the end. */
bool text_next_key(const char **keys, char key[TEXT_KEY_SIZE]);
/* A member's value; "-" if there is none. */
void text_field(const json_t *row, const char *key, char text[TEXT_SIZE]);
/* On stdout: a line for each row, as wide as needed; or one key a line, as rows are printed too if
 * the terminal is too narrow for the table. */
void text_table(const char *keys, const json_t *rows, const char *indent);
void text_record(const char *keys, const json_t *values);
