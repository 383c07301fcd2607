/* The fields of each message, in the order in which they stand on the wire: one list that makes the
 * encoder, the decoder and the release, so that they cannot drift apart. docs/protocol.md shows the
 * same as a grammar. F(kind, member): `kind` names a triple of functions in codec.c and what
 * wire_msg_release() does.
 *
 * Whoever changes this list after a release raises WIRE_VERSION. */
#ifndef FARHAND_WIRE_FIELDS_H
#define FARHAND_WIRE_FIELDS_H

#define WIRE_FIELDS_REF(F) F(id, ref.task) F(token, ref.token)

#define WIRE_FIELDS_HELLO(F)    \
	F(id, hello.instance)   \
	F(u32, hello.slots)     \
	F(word, hello.runtime)  \
	F(text, hello.host)     \
	F(mode, hello.mode)     \
	F(u32, hello.cores)     \
	F(u64, hello.mem_bytes) \
	F(text, hello.labels)   \
	F(text, hello.modules)  \
	F(refs, hello.in_flight)

#define WIRE_FIELDS_WELCOME(F) \
	F(u32, welcome.session) F(u32, welcome.generation) F(u32, welcome.silence_ms)
#define WIRE_FIELDS_CREDIT(F) F(u64, credit.granted_total)

#define WIRE_FIELDS_ASSIGN(F)         \
	F(id, assign.task)            \
	F(token, assign.token)        \
	F(u64, assign.number)         \
	F(id, assign.function)        \
	F(u32, assign.timeout_ms)     \
	F(u64, assign.mem_bytes)      \
	F(flag, assign.ahead)         \
	F(text, assign.retry_classes) \
	F(blob, assign.payload)

#define WIRE_FIELDS_FUNCTION_GET(F) F(id, function_get.function)

#define WIRE_FIELDS_FUNCTION(F)            \
	F(id, function.function)           \
	F(serializer, function.serializer) \
	F(blob, function.payload)

#define WIRE_FIELDS_RESULT(F)                \
	F(id, result.task)                   \
	F(token, result.token)               \
	F(flag, result.retry_match)          \
	F(state, result.result.state)        \
	F(reason, result.result.reason)      \
	F(flag, result.result.out_cut)       \
	F(flag, result.result.err_cut)       \
	F(i64, result.result.started_ms)     \
	F(i64, result.result.finished_ms)    \
	F(u32, result.result.deserialize_us) \
	F(u32, result.result.run_us)         \
	F(u32, result.result.serialize_us)   \
	F(word, result.result.runtime)       \
	F(text, result.result.error_type)    \
	F(text, result.result.error_message) \
	F(text, result.result.traceback)     \
	F(blob, result.result.out)           \
	F(blob, result.result.err)           \
	F(blob, result.result.value)

#define WIRE_FIELDS_HEARTBEAT(F) F(u64, heartbeat.assigns) F(refs, heartbeat.in_flight)
#define WIRE_FIELDS_DRAIN(F)	 F(how, drain.how)
#define WIRE_FIELDS_BYE(F)	 F(why, bye.why) F(text, bye.text)

#define WIRE_FIELDS_ASSIGN_ACK(F) F(u64, assign_ack.assigns)

#define WIRE_FIELDS_LOG(F)    \
	F(id, log.task)       \
	F(token, log.token)   \
	F(flag, log.is_error) \
	F(u64, log.offset)    \
	F(blob, log.data)

/* M(name, fields) */
#define WIRE_MESSAGES(M)                          \
	M(HELLO, WIRE_FIELDS_HELLO)               \
	M(WELCOME, WIRE_FIELDS_WELCOME)           \
	M(CREDIT, WIRE_FIELDS_CREDIT)             \
	M(ASSIGN, WIRE_FIELDS_ASSIGN)             \
	M(FUNCTION_GET, WIRE_FIELDS_FUNCTION_GET) \
	M(FUNCTION, WIRE_FIELDS_FUNCTION)         \
	M(STARTED, WIRE_FIELDS_REF)               \
	M(RESULT, WIRE_FIELDS_RESULT)             \
	M(RESULT_ACK, WIRE_FIELDS_REF)            \
	M(STALE, WIRE_FIELDS_REF)                 \
	M(CANCEL, WIRE_FIELDS_REF)                \
	M(HEARTBEAT, WIRE_FIELDS_HEARTBEAT)       \
	M(DRAIN, WIRE_FIELDS_DRAIN)               \
	M(BYE, WIRE_FIELDS_BYE)                   \
	M(ASSIGN_ACK, WIRE_FIELDS_ASSIGN_ACK)     \
	M(LOG, WIRE_FIELDS_LOG)

#endif
