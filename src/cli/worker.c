/* Decides what people see of a worker. */
#include "cli/worker.h"

#include <stdio.h>
#include <string.h>

#include "cli/table.h"

const char *worker_text(const json_t *worker, const char *name)
{
	const char *text = json_string_value(json_object_get(worker, name));
	return text && *text ? text : "-";
}

long long worker_number(const json_t *worker, const char *name)
{
	return json_integer_value(json_object_get(worker, name));
}

/* "gpu=1,site=lab" */
static void add_labels(struct table *t, const json_t *worker)
{
	char text[512] = "";
	size_t len = 0;
	const char *name;
	json_t *value, *labels = json_object_get(worker, "labels");
	json_object_foreach(labels, name, value)
	{
		const char *v = json_string_value(value);
		int n = snprintf(text + len, sizeof text - len, "%s%s%s%s", len ? "," : "", name,
				 v && *v ? "=" : "", v ? v : "");
		if (n < 0 || (size_t)n >= sizeof text - len)
			break; /* cut: `show -o json` has all of it */
		len += (size_t)n;
	}
	table_add(t, len ? text : "-");
}

void worker_head(struct table *t)
{
	static const char *const names[WORKER_COLUMNS] = { "ID",	"HOST",	   "MODE",
							   "STATE",	"RUNTIME", "SLOTS",
							   "IN FLIGHT", "KEY",	   "LABELS" };
	for (size_t i = 0; i < WORKER_COLUMNS; i++)
		table_add(t, names[i]);
}

void worker_row(struct table *t, const json_t *worker)
{
	table_add(t, worker_text(worker, "id"));
	table_add(t, worker_text(worker, "host"));
	table_add(t, worker_text(worker, "mode"));
	table_add(t, worker_text(worker, "state"));
	table_add(t, worker_text(worker, "runtime"));
	table_printf(t, "%lld/%lld", worker_number(worker, "slots_busy"),
		     worker_number(worker, "slots"));
	table_printf(t, "%lld", worker_number(worker, "in_flight"));
	table_add(t, worker_text(worker, "key_name"));
	add_labels(t, worker);
}

static void line(struct table *t, const char *name, const char *text)
{
	table_add(t, name);
	table_add(t, text);
}

void worker_lines(struct table *t, const json_t *worker)
{
	long long cores = worker_number(worker, "cores"), mem = worker_number(worker, "mem_bytes");
	line(t, "id", worker_text(worker, "id"));
	line(t, "host", worker_text(worker, "host"));
	line(t, "key", worker_text(worker, "key_name"));
	line(t, "mode", worker_text(worker, "mode"));
	line(t, "state", worker_text(worker, "state"));
	line(t, "runtime", worker_text(worker, "runtime"));
	table_add(t, "slots");
	table_printf(t, "%lld, %lld busy", worker_number(worker, "slots"),
		     worker_number(worker, "slots_busy"));
	table_add(t, "in flight");
	table_printf(t, "%lld", worker_number(worker, "in_flight"));
	table_add(t, "cores");
	if (cores)
		table_printf(t, "%lld", cores);
	else
		table_add(t, "-");
	table_add(t, "memory");
	if (mem)
		table_printf(t, "%.1f GiB", (double)mem / (1 << 30));
	else
		table_add(t, "-");
	table_add(t, "labels");
	add_labels(t, worker);
	line(t, "connected", worker_text(worker, "connected_at"));
	line(t, "heard", worker_text(worker, "heard_at"));
	table_add(t, "finished");
	table_printf(t, "%lld, %lld of them failed", worker_number(worker, "finished_total"),
		     worker_number(worker, "failed_total"));
}
