/* seq16.h - Binding Update sequence numbers (RFC 6275 s9.5.1).  Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* True if 'seq' is greater than 'last' modulo 2^16: 'last' itself and the 32768 values before it
 * are not (last = 15: 16..32782 are newer). */
static inline bool seq16_newer(uint16_t seq, uint16_t last)
{
	uint16_t d = (uint16_t)(seq - last);

	return d >= 1 && d <= 32767;
}
