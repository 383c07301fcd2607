/* ZeroMQ makes the keys. Failure modes: it was built without CURVE, a text is no key. */
#include "transport/curve.h"

#include <stdint.h>
#include <string.h>
#include <zmq.h>

int curve_check(struct fh_err *err)
{
	if (zmq_has("curve"))
		return 0;
	return fh_err_set(err, FH_EIO, "the installed ZeroMQ was built without CURVE: no keys");
}

int curve_pair_new(struct curve_pair *ret_pair, struct fh_err *err)
{
	struct curve_pair pair;
	int ret = curve_check(err);
	if (ret)
		return ret;
	do
		if (zmq_curve_keypair(pair.public_key, pair.secret_key))
			return fh_err_set(err, FH_EIO, "ZeroMQ makes no keys: %s",
					  zmq_strerror(zmq_errno()));
	while (pair.public_key[0] == '-' || pair.secret_key[0] == '-');
	*ret_pair = pair;
	curve_pair_wipe(&pair);
	return 0;
}

int curve_pair_of(const char *secret_key, struct curve_pair *ret_pair)
{
	struct curve_pair pair;
	if (!curve_is_key(secret_key) || zmq_curve_public(pair.public_key, secret_key))
		return FH_EINVAL;
	memcpy(pair.secret_key, secret_key, CURVE_KEY_SIZE);
	*ret_pair = pair;
	curve_pair_wipe(&pair);
	return 0;
}

bool curve_is_key(const char *text)
{
	uint8_t bytes[32];
	bool is = strlen(text) == CURVE_KEY_LEN && zmq_z85_decode(bytes, text);
	explicit_bzero(bytes, sizeof bytes);
	return is;
}

void curve_pair_wipe(struct curve_pair *pair)
{
	explicit_bzero(pair, sizeof *pair);
}
