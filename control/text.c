// SPDX-License-Identifier: BSD-3-Clause
//
// Valid UTF-8 of a bounded length; see text.h. Pure.
#include "text.h"

#include <glib.h>

#include <string.h>

void text_copy(char *out, size_t size, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);
	size_t n = strlen(valid);

	if (n >= size) {
		n = size - 1;
		while (n && (valid[n] & 0xc0) == 0x80) // not the first byte of a character
			n--;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = g_ascii_iscntrl(valid[i]) ? '?' : valid[i];
	out[n] = 0;
}
