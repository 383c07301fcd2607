/* Happy path: a task without needs, of a function without, is of the class ""; it costs a few
 * comparisons. Failure modes: a text that is not ours (another version wrote it) fits nobody, and
 * waits; more classes in use than there may be are refused. */
#include "dispatch/fit.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/needs_advice.h"
#include "base/plant.h"
#include "dispatch/dispatch_priv.h"

struct needs_offer fit_offer(const struct session *s)
{
	return (struct needs_offer){ .runtime = s->hello.runtime,
				     .cores = s->hello.cores,
				     .mem_bytes = s->hello.mem_bytes,
				     .labels = s->hello.labels,
				     .modules = s->hello.modules };
}

static bool fits(const struct session *s, const char *needs)
{
	const struct needs_offer offer = fit_offer(s);
	struct needs_verdict verdict;
	return needs_match(needs, &offer, &verdict) == 1;
}

uint64_t fit_classes(const struct dispatch *d, const struct session *s)
{
	uint64_t classes = 0;
	for (uint32_t i = 0; i < d->class_count; i++)
		classes |= (uint64_t)fits(s, d->class_keys[i]) << i;
	return classes;
}

/* ---- classes ---- */

bool fit_find_class(const struct dispatch *d, const char *needs, uint32_t *ret_class_ix)
{
	for (uint32_t i = 0; i < d->class_count; i++)
		if (strcmp(d->class_keys[i], needs) == 0) {
			*ret_class_ix = i;
			return true;
		}
	return false;
}

static void match_all(struct dispatch *d, uint32_t class_ix)
{
	for (uint32_t i = 0; i < d->sessions_touched; i++) {
		struct session *s = &d->sessions[i];
		uint64_t bit = UINT64_C(1) << class_ix;
		if (!s->open || !!(s->classes & bit) == fits(s, d->class_keys[class_ix]))
			continue;
		s->classes ^= bit;
		struct core_event ev = { .kind = CORE_EV_SESSION_CLASSES,
					 .classes = { .session = i, .classes = s->classes } };
		dispatch_step(d, &ev);
	}
}

uint32_t fit_classes_max(const struct dispatch *d)
{
	uint32_t lanes = d->config.limits.lanes_max; /* there is one account */
	return lanes < CORE_CLASSES_MAX ? lanes : CORE_CLASSES_MAX;
}

/* The next idle one behind the last that was made, so that no class is the one that always goes.
 * Its mask bits and key may stay until then: nothing asks for them. */
static bool take_idle(struct dispatch *d, uint32_t *ret_class_ix)
{
	for (uint32_t n = 1, i = d->class_last; n < d->class_count; n++) {
		i = i + 1 < d->class_count ? i + 1 : 1;
		bool named = d->classes_named >> i & 1 && !PLANTED(CLASS_TAKEN_TWICE);
		if (named || !core_class_is_idle(d->core, i))
			continue;
		*ret_class_ix = i;
		return true;
	}
	return false;
}

int fit_class(struct dispatch *d, const char *needs, uint32_t *ret_class_ix)
{
	uint32_t i;
	if (fit_find_class(d, needs, ret_class_ix))
		return 0;
	if (d->class_count < fit_classes_max(d))
		i = d->class_count++;
	else if (!take_idle(d, &i))
		return FH_ELIMIT;
	d->class_last = i;
	FH_ASSERT_CMP(strlen(needs), <, sizeof d->class_keys[i]);
	memcpy(d->class_keys[i], needs, strlen(needs) + 1);
	match_all(d, i);
	*ret_class_ix = i;
	return 0;
}

struct core_dropped fit_dropped(const struct dispatch *d, uint32_t account, const char *needs,
				uint64_t bytes)
{
	struct core_dropped t = { .account = account, .bytes = bytes };
	bool found = fit_find_class(d, needs, &t.class_ix);
	FH_ASSERT(found);
	return t;
}

void fit_settle(struct dispatch *d)
{
	d->classes_named = 0;
}

void fit_check(const struct dispatch *d)
{
	FH_ASSERT(d->class_count > 0 && d->class_count <= fit_classes_max(d));
	FH_ASSERT_CMP(d->class_keys[0][0], ==, '\0');
	FH_ASSERT_CMP(d->classes_named, ==, 0);
	for (uint32_t i = 0; i < d->class_count; i++) {
		uint32_t first;
		FH_ASSERT(fit_find_class(d, d->class_keys[i], &first));
		FH_ASSERT_CMP(first, ==, i);
	}
	for (uint32_t i = d->class_count; i < CORE_CLASSES_MAX; i++)
		FH_ASSERT(core_class_is_idle(d->core, i));
	for (uint32_t i = 0; i < d->sessions_touched; i++)
		if (d->sessions[i].open)
			FH_ASSERT_CMP(d->sessions[i].classes, ==, fit_classes(d, &d->sessions[i]));
}

/* ---- modules ---- */

static bool has_module(const char *modules, const char *name, size_t len)
{
	for (const char *at = modules; *at;) {
		size_t n = strcspn(at, ",");
		if (n == len && memcmp(at, name, len) == 0)
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

static bool everywhere(const struct dispatch *d, const char *name, size_t len)
{
	for (uint32_t i = 0; i < d->sessions_touched; i++) {
		const struct session *s = &d->sessions[i];
		if (s->open && s->hello.modules && !has_module(s->hello.modules, name, len))
			return false;
	}
	return true;
}

/* Those of the list that some worker lacks. NULL: none. Memory is the caller's. */
static char *rare_modules(const struct dispatch *d, const char *modules)
{
	char *rare = modules ? dispatch_alloc(strlen(modules) + 1, 1) : NULL;
	size_t used = 0;
	for (const char *at = modules; at && *at;) {
		size_t n = strcspn(at, ",");
		if (!everywhere(d, at, n)) {
			if (used)
				rare[used++] = ',';
			memcpy(rare + used, at, n);
			used += n;
		}
		at += n + (at[n] == ',');
	}
	if (used == 0) {
		fh_free(rare);
		return NULL;
	}
	return rare;
}

/* Computed again only when workers have come or gone. */
static const char *rare_of_function(const struct dispatch *d, struct function *f)
{
	if (f->rare_at == d->fleet_changes)
		return f->rare;
	fh_free(f->rare);
	f->rare = rare_modules(d, f->rec.modules);
	f->rare_at = d->fleet_changes;
	return f->rare;
}

/* The same for a payload: neighbours mostly name the same ones. */
static const char *rare_of_payload(struct dispatch *d, const char *modules)
{
	if (!modules)
		return NULL;
	if (d->rare_at == d->fleet_changes && strcmp(d->rare_of, modules) == 0)
		return d->rare;
	char *of = dispatch_alloc(strlen(modules) + 1, 1);
	memcpy(of, modules, strlen(modules));
	fit_release(d);
	d->rare_of = of;
	d->rare = rare_modules(d, modules);
	d->rare_at = d->fleet_changes;
	return d->rare;
}

void fit_release(struct dispatch *d)
{
	fh_free(d->rare_of);
	fh_free(d->rare);
	d->rare_of = d->rare = NULL;
	d->rare_at = 0;
}

/* ---- tasks ---- */

/* Nobody can, though workers are there; those that may still come back are waited for. */
static bool is_unfit(const struct dispatch *d, const char *needs)
{
	uint32_t class_ix;
	bool known = fit_find_class(d, needs, &class_ix), any = false;
	if (core_hold_until_us(d->core) > 0)
		return false;
	for (uint32_t i = 0; i < d->sessions_touched; i++) {
		const struct session *s = &d->sessions[i];
		if (!s->open)
			continue;
		if (known ? s->classes >> class_ix & 1 : fits(s, needs))
			return false;
		any = true;
	}
	return any;
}

static int own_needs(struct task_options *o, const char *text)
{
	char *copy = *text ? fh_strdup(text) : NULL;
	if (*text && !copy)
		return FH_ENOMEM;
	fh_free(o->needs);
	o->needs = copy;
	return 0;
}

int fit_task(struct dispatch *d, struct function *f, struct call_submit_item *item,
	     bool modules_anywhere, uint32_t *ret_class_ix)
{
	struct task_options *o = &item->task.options;
	struct needs_parts parts = { .own = o->needs,
				     .defaults = f->rec.defaults.needs,
				     .mem_bytes = o->mem_bytes };
	char text[NEEDS_TEXT] = "";
	if (!modules_anywhere) {
		parts.function_modules = f->rec.modules ? rare_of_function(d, f) : NULL;
		parts.payload_modules = rare_of_payload(d, item->modules);
	}
	bool none = !parts.own && !parts.defaults && parts.mem_bytes < NEEDS_MEM_MIN &&
		    !parts.function_modules && !parts.payload_modules;
	int ret = none ? 0 : needs_join(&parts, text);
	if (ret == 0)
		ret = own_needs(o, text);
	if (ret)
		return ret;
	if (*text && !item->wait_for_worker && is_unfit(d, text))
		return FH_EUNFIT; /* and makes no class: there are few */
	ret = fit_class(d, text, ret_class_ix);
	if (ret == 0)
		d->classes_named |= UINT64_C(1) << *ret_class_ix;
	return ret;
}

void fit_explain(const struct dispatch *d, const char *needs, struct call_unfit *ret_unfit)
{
	struct needs_tally tally = { 0 };
	for (uint32_t i = 0; i < d->sessions_touched; i++) {
		const struct session *s = &d->sessions[i];
		struct needs_verdict verdict = { 0 };
		if (!s->open)
			continue;
		const struct needs_offer offer = fit_offer(s);
		(void)!needs_match(needs, &offer, &verdict); /* our own text */
		needs_tally_add(&tally, &offer, &verdict);
	}
	ret_unfit->lacking = needs_advice(needs, &tally, &ret_unfit->detail, &ret_unfit->advice);
}
