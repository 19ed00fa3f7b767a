/* conf_text.h - a configuration file's text, as libconfig takes it without losing lines or digits.
 */
#pragma once
#include "common/os/conf.h"

/* The file as a string to be freed; NULL: the mistake was reported. */
char *conf_load(struct conf *);
