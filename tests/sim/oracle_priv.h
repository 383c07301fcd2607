/* The inside of the oracle, for its files. */
#ifndef FARHAND_SIM_ORACLE_PRIV_H
#define FARHAND_SIM_ORACLE_PRIV_H

#include "base/map.h"
#include "oracle.h"
#include "world.h"

enum {
	WORKERS_MAX = 1 << 14,
	LEASES_MAX = 1 << 10,
	CLAIMS_MAX = 1 << 12,
	HELLOS_MAX = 1 << 10,
	MISSING_SURE = 1000, /* `missing` of what a worker came back without */
};

/* A worker as this life of the dispatcher must know it. */
struct worker_model {
	uint64_t peer;	       /* its link */
	uint64_t serial;       /* of its session: which of those that there were */
	int64_t heard_us;      /* its last message over that link */
	bool gone;	       /* it has no session */
	bool broken, left;     /* ... because it broke the protocol; because it left in order */
	bool leaving, ordered; /* it takes no more, by its own word; by an operator's */
	uint32_t leases, alone;
	uint32_t labels;
	uint64_t granted, sent; /* over that link */
	bool came;		/* in this run */
	uint64_t noted_at;	/* the calls of the store by which it must be remembered; 0: none */
};

/* A HELLO that is not answered yet. */
struct hello_model {
	uint64_t number, peer;
	struct wire_refs refs;
	uint32_t labels;
};

struct oracle {
	struct world *w;
	struct subject **subjects;
	uint32_t count, room;
	struct subject **told; /* those that clients know */
	uint32_t told_count;
	struct subject **doomed; /* durable ones, and some that have ended */
	uint32_t doomed_count;
	struct map by_id;
	struct group_model **groups;
	uint32_t group_count;
	struct group_model **told_groups;
	uint32_t told_group_count;
	uint64_t moments;
	uint32_t generation;
	uint64_t commits, delivered;  /* all that was committed up to `delivered` has been told */
	struct worker_model *workers; /* by number */
	struct subject *leases[LEASES_MAX];
	uint32_t lease_count;
	struct hello_model hellos[HELLOS_MAX];
	struct wire_ref claims[CLAIMS_MAX]; /* of the list that is being heard, and not its own */
	uint32_t claim_count;
	uint32_t hello_count;
	/* Of this life */
	uint64_t runs, serials;
	uint64_t asked, done;		     /* calls of the store, since the simulation began */
	uint64_t remembered[HOSTS_MAX * 64]; /* workers that the store must know, at a start */
	uint32_t remembered_count;
	uint32_t declared;		   /* tokens of before, in all HELLOs */
	bool handed_out;		   /* a task was assigned or claimed */
	uint64_t expected[HOSTS_MAX * 64]; /* workers that may come back */
	uint32_t expected_count;
	int64_t start_us;
	uint64_t live, live_bytes, finals[TASK_STATE_COUNT], last_seq;
};

/* Short text for a task in a message. */
const char *subject_name(const struct subject *s);

/* Whether a child has begun this attempt. */
bool oracle_has_begun(const struct subject *s, uint32_t attempt);

/* Which token this is, among those that were issued for the task; or NO_TOKEN. */
uint32_t subject_token(const struct subject *s, struct task_token token);

struct group_model *oracle_group(const struct oracle *o, struct fh_id id);

/* The task, which must be durable for the store to do this with it. */
struct subject *oracle_durable(struct oracle *o, struct fh_id id, const char *what);

/* -- oracle_fleet.c */
/* A life begins: who may come back, and who must be remembered. */
void oracle_fleet_start(struct oracle *o, const struct store_recovery *r);
bool oracle_holds(const struct oracle *o);

/* -- oracle_lease.c */
struct worker_model *oracle_worker(struct oracle *o, uint64_t number);
uint64_t oracle_number_of(struct fh_id instance);
void lease_begin(struct oracle *o, struct subject *s, uint64_t number, uint32_t token,
		 bool adopted);
void lease_end(struct oracle *o, struct subject *s);
void oracle_retry_asked(struct oracle *o, const struct store_retry_item *r);
/* It is how the output of this attempt begins. */
void oracle_check_output(struct oracle *o, const struct subject *s, uint32_t token,
			 const struct task_result *r);
void oracle_finish_asked(struct oracle *o, const struct store_finish_item *f);
void oracle_listed_by(struct oracle *o, uint64_t number, const struct wire_heartbeat *h);
void oracle_comes(struct oracle *o, uint64_t number);
void oracle_brought(struct oracle *o, uint64_t number, const struct wire_refs *refs, bool resumed);
void oracle_told_stale(struct oracle *o, uint64_t number, const struct wire_ref *ref);

/* -- oracle_read.c: what the store gives back, against the model. */
void oracle_read(struct oracle *o, const struct task_rec *t, const struct task_result *r,
		 bool with_result);
void oracle_read_view(struct oracle *o, const struct store_task_view *v, unsigned want);
/* All that the group has behind the cursor, in order, up to the limit. */
void oracle_listed(struct oracle *o, const struct store_list_finished *c);
/* By CLAIM or TAKE. */
void oracle_claimed(struct oracle *o, const struct task_rec *tasks, uint32_t count);
void oracle_counted(struct oracle *o, const uint64_t *counts, const uint64_t *finals,
		    uint64_t queued);

#endif
