#include "wire/msg.h"

#include "base/mem.h"

void wire_msg_release(struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_ASSIGN:
		blob_free(&m->assign.payload);
		fh_free(m->assign.retry_classes);
		break;
	case WIRE_FUNCTION:
		blob_free(&m->function.payload);
		break;
	case WIRE_RESULT:
		task_result_release(&m->result.result);
		break;
	case WIRE_HEARTBEAT:
		fh_free(m->heartbeat.in_flight);
		break;
	default:
		break;
	}
	*m = (struct wire_msg){ 0 };
}

const char *wire_type_name(enum wire_type t)
{
	static const char *const names[WIRE_TYPE_END] = {
		[WIRE_HELLO] = "HELLO",
		[WIRE_WELCOME] = "WELCOME",
		[WIRE_CREDIT] = "CREDIT",
		[WIRE_ASSIGN] = "ASSIGN",
		[WIRE_FUNCTION_GET] = "FUNCTION_GET",
		[WIRE_FUNCTION] = "FUNCTION",
		[WIRE_STARTED] = "STARTED",
		[WIRE_RESULT] = "RESULT",
		[WIRE_RESULT_ACK] = "RESULT_ACK",
		[WIRE_STALE] = "STALE",
		[WIRE_CANCEL] = "CANCEL",
		[WIRE_HEARTBEAT] = "HEARTBEAT",
		[WIRE_DRAIN] = "DRAIN",
		[WIRE_BYE] = "BYE",
	};
	return t > 0 && t < WIRE_TYPE_END ? names[t] : "UNKNOWN";
}
