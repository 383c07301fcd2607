/* What a message owns, and what it is called: both follow from the list of fields. */
#include "wire/msg.h"

#include "base/mem.h"
#include "wire/fields.h"

/* Kinds that own nothing. */
#define RELEASE_u32(v)	      (void)(v)
#define RELEASE_u64(v)	      (void)(v)
#define RELEASE_i64(v)	      (void)(v)
#define RELEASE_flag(v)	      (void)(v)
#define RELEASE_id(v)	      (void)(v)
#define RELEASE_token(v)      (void)(v)
#define RELEASE_word(v)	      (void)(v)
#define RELEASE_state(v)      (void)(v)
#define RELEASE_reason(v)     (void)(v)
#define RELEASE_serializer(v) (void)(v)
#define RELEASE_why(v)	      (void)(v)
#define RELEASE_mode(v)	      (void)(v)
#define RELEASE_how(v)	      (void)(v)

#define RELEASE_text(v) fh_free(*(v))
#define RELEASE_blob(v) blob_free(v)
#define RELEASE_refs(v) fh_free((v)->list)

void wire_msg_release(struct wire_msg *m)
{
	switch (m->type) {
#define FIELD(kind, member) RELEASE_##kind(&m->member);
#define MESSAGE(name, fields) \
	case WIRE_##name:     \
		fields(FIELD) break;
		WIRE_MESSAGES(MESSAGE) // NOLINT(bugprone-branch-clone): some have the same fields
#undef MESSAGE
#undef FIELD
	default:
		break;
	}
	*m = (struct wire_msg){ 0 };
}

const char *wire_type_name(enum wire_type t)
{
	static const char *const names[WIRE_TYPE_END] = {
#define MESSAGE(name, fields) [WIRE_##name] = #name,
		WIRE_MESSAGES(MESSAGE)
#undef MESSAGE
	};
	return t > 0 && t < WIRE_TYPE_END ? names[t] : "UNKNOWN";
}
