/* Decides how wide columns are. */
#include "cli/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

/* Control characters, those of the second block (U+0080 to U+009F) too, and what is not UTF-8. */
static void make_harmless(char *text)
{
	uint8_t *at = (uint8_t *)text;
	while (*at) {
		size_t len = utf8_char_len(at, strlen((char *)at));
		bool bad = len == 0 || *at < ' ' || *at == 0x7F || (*at == 0xC2 && at[1] < 0xA0);
		if (bad)
			memset(at, '?', len ? len : 1);
		at += len ? len : 1;
	}
}

static size_t width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((uint8_t)*text & 0xC0) != 0x80;
	return n;
}

void table_add(struct table *t, const char *text)
{
	if (t->count == t->room) {
		size_t room = 2 * t->room + 64;
		char **cells = fh_realloc((void *)t->cells, room * sizeof *cells);
		if (!cells) {
			t->broken = true;
			return;
		}
		t->cells = cells;
		t->room = room;
	}
	char *cell = fh_strdup(text ? text : "");
	if (!cell) {
		t->broken = true;
		return;
	}
	make_harmless(cell);
	t->cells[t->count++] = cell;
}

void table_printf(struct table *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	table_add(t, text);
}

/* Spaces are written before what they lead to, so that no line ends with them. */
void table_print(const struct table *t, FILE *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };
	for (size_t i = 0; i < t->count; i++) {
		size_t w = width(t->cells[i]), *most = &widths[i % t->columns];
		*most = w > *most ? w : *most;
	}
	for (size_t row = 0; row < t->count; row += t->columns) {
		size_t spaces = 0;
		for (size_t i = 0; i < t->columns && row + i < t->count; i++) {
			const char *cell = t->cells[row + i];
			if (*cell) {
				(void)fprintf(out, "%*s%s", (int)spaces, "", cell);
				spaces = 0;
			}
			spaces += widths[i] - (*cell ? width(cell) : 0) + 2;
		}
		(void)fputc('\n', out);
	}
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->count; i++)
		fh_free(t->cells[i]);
	fh_free((void *)t->cells);
	*t = (struct table){ .columns = t->columns };
}
