/* Reads a command line by its table. Failure modes: a flag that is not in the table, a missing
 * value, one that does not fit, an operand too many or none; each with a line. */
#include "app/flags.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int flag_bad(struct fh_err *err, const char *flag, const char *value, const char *right)
{
	return fh_err_set(err, FH_EINVAL, "%s: '%s' is not %s", flag, value, right);
}

int flag_whole(const char *flag, const char *value, uint64_t min, uint64_t max,
	       uint64_t *ret_number, struct fh_err *err)
{
	char *end;
	errno = 0;
	unsigned long long number = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || number < min || number > max)
		return fh_err_set(err, FH_EINVAL,
				  "%s: '%s' is not a whole number from %llu to %llu", flag, value,
				  (unsigned long long)min, (unsigned long long)max);
	*ret_number = number;
	return 0;
}

int flag_seconds(const char *flag, const char *value, double min, uint32_t *ret_ms,
		 struct fh_err *err)
{
	char *end;
	double s = strtod(value, &end);
	bool decimal = value[0] != '.' && !value[strspn(value, "0123456789.")];
	if (!*value || !decimal || *end || s < min || s > 4000000)
		return flag_bad(err, flag, value, "a number of seconds");
	*ret_ms = (uint32_t)(s * 1000);
	return 0;
}

int flag_text(const char *flag, const char *value, const char *right, const char **ret_text,
	      struct fh_err *err)
{
	if (!*value)
		return flag_bad(err, flag, value, right);
	*ret_text = value;
	return 0;
}

static const struct flag *find(const struct command *c, const char *arg, size_t len)
{
	for (size_t i = 0; i < c->flag_count; i++)
		if (strlen(c->flags[i].name) == len && strncmp(c->flags[i].name, arg, len) == 0)
			return &c->flags[i];
	return NULL;
}

/* The flag at argv[*i], with its value; `*i` is at the last word of both then. */
static int set_flag(const struct command *c, void *options, int argc, char **argv, int *i,
		    struct fh_err *err)
{
	const char *arg = argv[*i], *equals = strchr(arg, '=');
	const struct flag *flag = find(c, arg, equals ? (size_t)(equals - arg) : strlen(arg));
	if (!flag)
		return fh_err_set(err, FH_EINVAL, "unknown flag '%s'; see farhand %s --help", arg,
				  c->name);
	if (!flag->value)
		return equals ? fh_err_set(err, FH_EINVAL, "%s takes no value", flag->name)
			      : flag->set(options, flag->name, "", err);
	if (!equals && ++*i == argc)
		return fh_err_set(err, FH_EINVAL, "%s needs a value: %s", flag->name, flag->value);
	return flag->set(options, flag->name, equals ? equals + 1 : argv[*i], err);
}

int command_parse(const struct command *c, void *options, int argc, char **argv, bool *ret_help,
		  struct fh_err *err)
{
	const char *operand = NULL;
	*ret_help = false;
	for (int i = 1; i < argc; i++) {
		int ret = 0;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*ret_help = true;
		} else if (argv[i][0] == '-' || !c->operand) {
			ret = set_flag(c, options, argc, argv, &i, err);
		} else if (operand) {
			ret = fh_err_set(err, FH_EINVAL, "'%s' is one %s too many", argv[i],
					 c->operand);
		} else {
			operand = argv[i];
			ret = c->set_operand(options, c->operand, operand, err);
		}
		if (ret)
			return ret;
	}
	if (c->operand && !operand && !*ret_help)
		return fh_err_set(err, FH_EINVAL, "farhand %s needs %s; see farhand %s --help",
				  c->name, c->operand, c->name);
	return 0;
}
