/* Decides nothing: OpenSSL's SHA-256. The only failure is memory. */
#include "http/digest.h"

#include <openssl/evp.h>

int digest_init(struct digest *d)
{
	d->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	d->ctx = EVP_MD_CTX_new();
	if (d->md && d->ctx)
		return 0;
	digest_release(d);
	return FH_ENOMEM;
}

void digest_release(struct digest *d)
{
	EVP_MD_free(d->md);
	EVP_MD_CTX_free(d->ctx);
	*d = (struct digest){ 0 };
}

int digest_sum(struct digest *d, const struct digest_part *parts, size_t count,
	       uint8_t ret_sum[DIGEST_LEN])
{
	if (EVP_DigestInit_ex2(d->ctx, d->md, NULL) != 1)
		return FH_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint8_t len[8];
		for (int b = 0; b < 8; b++)
			len[b] = (uint8_t)((uint64_t)parts[i].len >> (56 - 8 * b));
		if (EVP_DigestUpdate(d->ctx, len, sizeof len) != 1 ||
		    EVP_DigestUpdate(d->ctx, parts[i].data, parts[i].len) != 1)
			return FH_ENOMEM;
	}
	return EVP_DigestFinal_ex(d->ctx, ret_sum, NULL) == 1 ? 0 : FH_ENOMEM;
}
