/* Decides how an error looks. */
#include "http/problem.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/needs_advice.h"
#include "http/exchange.h"
#include "http/route.h"
#include "http/text.h"

static const struct {
	int status;
	const char *code, *title;
} problems[PROBLEM_COUNT] = {
#define X(name, status, code, title) [PROBLEM_##name] = { status, code, title },
	PROBLEMS(X)
#undef X
};

int problem_status(enum problem_kind kind)
{
	return problems[kind].status;
}

enum problem_kind problem_of_error(int code)
{
	switch (code) {
	case FH_ENOMEM:
		return PROBLEM_NO_MEMORY;
	case FH_EINVAL:
		return PROBLEM_INVALID;
	case FH_ESYNTAX:
		return PROBLEM_BAD_REQUEST;
	case FH_ENOTFOUND:
		return PROBLEM_NOT_FOUND;
	case FH_EFULL:
		return PROBLEM_QUEUE_FULL;
	case FH_ETOOBIG:
		return PROBLEM_TOO_LARGE;
	case FH_EFINAL:
		return PROBLEM_FINAL;
	case FH_ECONFLICT:
		return PROBLEM_KEY_REUSED;
	case FH_EBUSY:
	case FH_EAGAIN:
		return PROBLEM_BUSY;
	case FH_ECLOSED:
		return PROBLEM_CLOSING;
	case FH_ELIMIT:
		return PROBLEM_LIMIT;
	case FH_EGONE:
		return PROBLEM_GONE;
	case FH_EUNFIT:
		return PROBLEM_NO_WORKER;
	default:
		return PROBLEM_INTERNAL;
	}
}

static void lacking(struct text *t, unsigned mask)
{
	const char *separator = "";
	text_str(t, ",\"lacking\":[");
	for (unsigned kind = 0; kind < NEEDS_KINDS; kind++) {
		if (!(mask >> kind & 1))
			continue;
		text_printf(t, "%s\"%s\"", separator, needs_kind_word((enum needs_kind)kind));
		separator = ",";
	}
	text_str(t, "]");
}

void problem_members(struct text *t, enum problem_kind kind, const char *detail,
		     const struct problem_unfit *unfit)
{
	text_printf(t, "\"type\":\"/docs/problems#%s\",\"title\":", problems[kind].code);
	text_json_str(t, problems[kind].title);
	text_printf(t, ",\"status\":%d,\"code\":\"%s\",\"detail\":", problems[kind].status,
		    problems[kind].code);
	text_json_str(t, detail);
	if (unfit) {
		text_str(t, ",\"advice\":");
		text_json_str(t, unfit->advice);
		lacking(t, unfit->lacking);
	}
}

static void field_errors(struct text *t, const struct field_errors *errors)
{
	size_t shown = errors->count < FIELD_ERRORS_MAX ? errors->count : FIELD_ERRORS_MAX;
	text_str(t, ",\"errors\":[");
	for (size_t i = 0; i < shown; i++) {
		text_str(t, i ? ",{\"pointer\":" : "{\"pointer\":");
		text_json_str(t, errors->items[i].pointer);
		text_str(t, ",\"detail\":");
		text_json_str(t, errors->items[i].detail);
		text_str(t, "}");
	}
	text_str(t, "]");
}

/* What some problems have besides. */
struct extra {
	const struct problem_unfit *unfit;
	const struct field_errors *errors;
	uint32_t retry_after_s;
};

static void reply(struct exchange *x, enum problem_kind kind, const char *detail,
		  const struct extra *extra)
{
	struct text t = { 0 };
	char seconds[16];
	FH_ASSERT(kind > PROBLEM_NONE && kind < PROBLEM_COUNT);
	text_str(&t, "{");
	problem_members(&t, kind, detail, extra->unfit);
	text_str(&t, ",\"instance\":");
	const char *target = exchange_target(x);
	text_json(&t, target, strcspn(target, "?"));
	text_str(&t, ",\"request_id\":");
	text_json_str(&t, x->request_id);
	if (extra->errors)
		field_errors(&t, extra->errors);
	if (extra->retry_after_s) {
		text_printf(&t, ",\"retry_after\":%u", extra->retry_after_s);
		(void)snprintf(seconds, sizeof seconds, "%u", extra->retry_after_s);
		exchange_set_header(x, "Retry-After", seconds);
	}
	text_str(&t, "}");
	exchange_reply(x, problems[kind].status, "application/problem+json", &t);
}

void problem_reply(struct exchange *x, enum problem_kind kind, const char *detail)
{
	reply(x, kind, detail, &(struct extra){ 0 });
}

void problem_reply_later(struct exchange *x, enum problem_kind kind, const char *detail,
			 uint32_t retry_after_s)
{
	reply(x, kind, detail,
	      &(struct extra){ .retry_after_s = retry_after_s ? retry_after_s : 1 });
}

void problem_reply_fields(struct exchange *x, const struct field_errors *errors)
{
	char detail[FIELD_POINTER_MAX + FIELD_DETAIL_MAX + 64];
	FH_ASSERT(errors->count > 0);
	int len = snprintf(detail, sizeof detail, "%s: %s",
			   errors->items[0].pointer[0] ? errors->items[0].pointer : "the body",
			   errors->items[0].detail);
	if (errors->count > 1 && len > 0 && (size_t)len < sizeof detail)
		(void)snprintf(detail + len, sizeof detail - (size_t)len, " (and %zu more)",
			       errors->count - 1);
	reply(x, PROBLEM_INVALID, detail, &(struct extra){ .errors = errors });
}

void problem_reply_call(struct exchange *x, const struct call *call)
{
	enum problem_kind kind = problem_of_error(call->ret);
	const char *detail = call->err.text[0] ? call->err.text : fh_error_text(call->ret);
	struct problem_unfit unfit = { call->advice.text, call->lacking };
	if (problems[kind].status == 503)
		problem_reply_later(x, kind, detail, call->retry_after_s);
	else
		reply(x, kind, detail,
		      &(struct extra){ .unfit = kind == PROBLEM_NO_WORKER ? &unfit : NULL });
}
