/* Every statement that runs while the store serves. The tables are in sqlite_schema.c. Where one
 * reads what waits, its condition implies that of a partial index, or SQLite would not use it. */
#ifndef FARHAND_STORE_SQLITE_SQL_H
#define FARHAND_STORE_SQLITE_SQL_H

/* clang-format off */
#define TALLY_COLUMNS "attempt, failures, losses, strikes, struck_by, struck_by_two"
#define TALLY_VALUES  "?,?,?,?,?,?"

#define TASK_COLUMNS                                                                               \
	"id, function_id, group_id, account, lane, rank, state, " TALLY_COLUMNS ", started_once, " \
	"created_ms, not_before_ms, expires_at_ms, finish_seq, payload_size, options, "           \
	"retry_classes, needs, tags"

#define FUNCTION_COLUMNS                                                                           \
	"id, digest, name, serializer, description, created_ms, payload_size, options, "           \
	"retry_classes, needs, tags"

#define SQL_STATEMENTS(X)                                                                          \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                \
	X(COMMIT, "COMMIT")                                                                        \
	X(SELECT_SERVER, "SELECT generation, clean, queued, queued_bytes, completed, failed, "     \
			 "cancelled, functions, groups, finish_seq, purged_seq, payload_no "       \
			 "FROM server")                                                            \
	X(UPDATE_SERVER, "UPDATE server SET generation = ?, clean = ?, queued = ?, "               \
			 "queued_bytes = ?, completed = ?, failed = ?, cancelled = ?, "            \
			 "functions = ?, groups = ?, finish_seq = ?, purged_seq = ?, "             \
			 "payload_no = ?")                                                         \
	X(PAGES, "PRAGMA page_count")                                                              \
                                                                                                   \
	X(SELECT_FUNCTION, "SELECT " FUNCTION_COLUMNS ", CASE WHEN ?1 THEN payload END "            \
			   "FROM functions WHERE id = ?2")                                         \
	X(SELECT_FUNCTION_NAMED, "SELECT " FUNCTION_COLUMNS ", CASE WHEN ?1 THEN payload END "      \
				 "FROM functions WHERE name = ?2 ORDER BY no DESC LIMIT 1")        \
	X(SCAN_FUNCTIONS, "SELECT no, " FUNCTION_COLUMNS ", NULL FROM functions WHERE no > ?1 "       \
			  "ORDER BY no")                                                           \
	X(SCAN_FUNCTIONS_NAMED, "SELECT no, " FUNCTION_COLUMNS ", NULL FROM functions "             \
				"WHERE no > ?1 AND name = ?2 ORDER BY no")                         \
	X(SELECT_FUNCTION_ID, "SELECT id FROM functions WHERE digest = ?")                         \
	X(INSERT_FUNCTION, "INSERT INTO functions (" FUNCTION_COLUMNS ", payload) "                 \
			   "VALUES (?,?,?,?,?,?,?,?,?,?,?,?)")                                     \
                                                                                                   \
	X(SELECT_GROUP, "SELECT id, name, tags, account, created_ms, total, completed, failed, "   \
			"cancelled FROM groups WHERE id = ?")                                      \
	X(HAS_GROUP, "SELECT 1 FROM groups WHERE id = ?")                                          \
	X(INSERT_GROUP, "INSERT INTO groups (id, name, tags, account, created_ms, total, "         \
			"records) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)")                            \
	X(GROUP_ADD, "UPDATE groups SET total = total + ?2, records = records + ?2 WHERE id = ?1") \
	X(GROUP_END, "UPDATE groups SET completed = completed + ?2, failed = failed + ?3, "        \
		     "cancelled = cancelled + ?4 WHERE id = ?1")                                   \
	X(GROUP_FORGET, "UPDATE groups SET records = records - 1 WHERE id = ?")                    \
	X(EMPTY_GROUP, "SELECT id FROM groups WHERE records = 0 AND created_ms < ? "               \
		       "ORDER BY created_ms LIMIT 1")                                              \
	X(DELETE_GROUP, "DELETE FROM groups WHERE id = ?")                                         \
                                                                                                   \
	X(SELECT_KEY, "SELECT fingerprint, status, location, response FROM idempotency "           \
		      "WHERE account = ? AND key = ?")                                             \
	X(INSERT_KEY, "INSERT INTO idempotency (account, key, fingerprint, created_ms, status, "   \
		      "location, response) VALUES (?,?,?,?,?,?,?)")                                \
	X(NEXT_KEY_MS, "SELECT no, created_ms FROM idempotency WHERE no > ? ORDER BY no LIMIT 1")  \
	X(DELETE_KEY, "DELETE FROM idempotency WHERE no = ?")                                      \
                                                                                                   \
	X(PUT_LANE, "REPLACE INTO lanes (no, account, class_key) VALUES (?,?,?)")                  \
	X(SCAN_LANES, "SELECT no, account, class_key FROM lanes ORDER BY no")                      \
                                                                                                   \
	X(HAS_WORKER, "SELECT 1 FROM workers WHERE instance = ?")                                  \
	X(INSERT_WORKER, "INSERT INTO workers (instance) VALUES (?)")                              \
	X(DELETE_WORKER, "DELETE FROM workers WHERE instance = ?")                                 \
	X(SCAN_WORKERS, "SELECT instance FROM workers ORDER BY instance")                          \
                                                                                                   \
	X(INSERT_TASK, "INSERT INTO tasks (" TASK_COLUMNS ", ready, due_ms, payload_no) "          \
		       "VALUES (?,?,?,?,?,?,?," TALLY_VALUES ",?,?,?,?,?,?,?,?,?,?,?,?,?)")       \
	X(INSERT_PAYLOAD, "INSERT INTO payloads (no, data) VALUES (?,?)")                          \
	X(SELECT_TASK, "SELECT " TASK_COLUMNS ", (SELECT name FROM functions "                     \
		       "WHERE functions.id = function_id) FROM tasks WHERE id = ?")                \
	X(SELECT_CLAIMED, "SELECT " TASK_COLUMNS ", data FROM tasks JOIN payloads "                \
			  "ON no = payload_no WHERE id = ?")                                       \
	X(SELECT_PLACE, "SELECT state, lane, rank, due_ms, group_id, payload_size, "               \
			TALLY_COLUMNS " FROM tasks WHERE id = ?")                                  \
	X(SELECT_PAYLOAD_NO, "SELECT payload_no FROM tasks WHERE id = ?")                          \
	X(END_TASK, "UPDATE tasks SET ready = NULL, due_ms = NULL, state = ?, finish_seq = ?, "    \
		    "(" TALLY_COLUMNS ") = (" TALLY_VALUES ") WHERE id = ?")                       \
	X(RETRY_TASK, "UPDATE tasks SET ready = CASE WHEN ?1 = 0 THEN lane END, "                  \
		      "due_ms = CASE WHEN ?1 <> 0 THEN ?1 END, not_before_ms = ?1, "               \
		      "(" TALLY_COLUMNS ") = (" TALLY_VALUES ") WHERE id = ?")                     \
	X(START_TASK, "UPDATE tasks SET attempt = ?2, started_once = 1 WHERE id = ?1")             \
	X(READY_TASK, "UPDATE tasks SET ready = lane, due_ms = NULL WHERE id = ?")                               \
	X(DELETE_TASK, "DELETE FROM tasks WHERE id = ?")                                           \
	X(DELETE_PAYLOAD, "DELETE FROM payloads WHERE no = ?")                                     \
                                                                                                   \
	X(SCAN_LANE, "SELECT rank, id FROM tasks WHERE ready = ? "                    \
		     "AND (rank, id) >= (?, ?) ORDER BY rank, id")                                 \
	X(SCAN_DUE, "SELECT id, lane, rank FROM tasks WHERE due_ms <= ?1 "                           \
		    "ORDER BY due_ms, id LIMIT ?2")                                                \
	X(NEXT_DUE, "SELECT due_ms FROM tasks WHERE due_ms IS NOT NULL ORDER BY due_ms LIMIT 1")                                              \
	X(SCAN_EXPIRING, "SELECT id, expires_at_ms FROM tasks WHERE state = 0 "                    \
			 "AND expires_at_ms > 0 ORDER BY expires_at_ms, id")                       \
	X(NEXT_EXPIRY, "SELECT expires_at_ms FROM tasks WHERE state = 0 AND expires_at_ms > 0 "    \
		       "ORDER BY expires_at_ms LIMIT 1")                                           \
	X(COUNT_READY, "SELECT ready, count(*), min(rank) FROM tasks WHERE ready IS NOT NULL "     \
		       "GROUP BY ready")                                                            \
	X(SCAN_DELAYED, "SELECT lane FROM tasks WHERE due_ms IS NOT NULL")                                  \
                                                                                                   \
	X(INSERT_RESULT, "INSERT INTO results (finish_seq, task_id, group_id, state, reason, "     \
			 "started_ms, finished_ms, result_size, deserialize_us, run_us, "          \
			 "serialize_us, runtime, out_cut, err_cut, error_type, error_message, "    \
			 "traceback, value, out, err) "                                            \
			 "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")                       \
	X(SELECT_RESULT, "SELECT state, reason, started_ms, finished_ms, result_size, "            \
			 "deserialize_us, run_us, serialize_us, runtime, out_cut, err_cut, "       \
			 "CASE WHEN ?2 THEN error_type END, CASE WHEN ?2 THEN error_message END, " \
			 "CASE WHEN ?2 THEN traceback END, CASE WHEN ?2 THEN value END, "          \
			 "CASE WHEN ?3 THEN out END, CASE WHEN ?3 THEN err END "                   \
			 "FROM results WHERE finish_seq = ?1")                                     \
	X(SCAN_FINISHED, "SELECT task_id FROM results WHERE group_id = ?1 "                        \
			 "AND finish_seq > ?2 ORDER BY finish_seq")                                \
	X(NEXT_FINISHED, "SELECT finish_seq, task_id, group_id, state, finished_ms FROM results "  \
			 "WHERE finish_seq > ?1 ORDER BY finish_seq LIMIT 1")                      \
	X(NEXT_FINISHED_MS, "SELECT finish_seq, finished_ms FROM results WHERE finish_seq > ? "    \
			    "ORDER BY finish_seq LIMIT 1")                                         \
	X(EMPTY_RESULT, "UPDATE results SET error_type = NULL, error_message = NULL, "             \
			"traceback = NULL, value = NULL, out = NULL, err = NULL "                  \
			"WHERE finish_seq = ?")                                                    \
	X(DELETE_RESULT, "DELETE FROM results WHERE finish_seq = ?")

enum sql {
#define X(name, text) SQL_##name,
	SQL_STATEMENTS(X)
#undef X
		SQL_COUNT,
};
/* clang-format on */

#endif
