#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	const char *text;
	int http;
} errors[FH_ORDINAL_COUNT] = { [FH_ORDINAL_OK] = { "OK", "success", 200 },
#define X(name, http, text) [FH_ORDINAL_##name] = { #name, text, http },
			       FH_ERRORS(X)
#undef X
};

static int ordinal(int code)
{
	return code <= 0 && code > -FH_ORDINAL_COUNT ? -code : -1;
}

const char *fh_error_text(int code)
{
	int i = ordinal(code);
	return i < 0 ? "unknown error" : errors[i].text;
}

const char *fh_error_name(int code)
{
	int i = ordinal(code);
	return i < 0 ? "UNKNOWN" : errors[i].name;
}

int fh_error_http(int code)
{
	int i = ordinal(code);
	return i < 0 ? 500 : errors[i].http;
}

int fh_err_set(struct fh_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		va_start(ap, fmt);
		(void)vsnprintf(err->text, sizeof err->text, fmt, ap);
		va_end(ap);
	}
	return code;
}

int fh_err_wrap(struct fh_err *err, int code, const char *text)
{
	if (err) {
		struct fh_err inner = *err;
		(void)fh_err_set(err, code, "%s: %s", text, inner.text);
	}
	return code;
}
