/* Decides which moment a text names. By hand because strptime() is lenient and gmtime_r() takes a
 * lock; the calendar is the proleptic Gregorian one, in 400-year eras that begin on 1 March, so
 * that the leap day is the last of its year. */
#include "http/rfc3339.h"

#include <stdbool.h>
#include <string.h>

enum { DAY_MS = 86400000, ERA_DAYS = 146097, EPOCH_DAY = 719468 };

/* Days from 0000-03-01 to a date. */
static int64_t day_number(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, year_of_era = y % 400;
	int64_t month_from_march = (month + 9) % 12;
	int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
	return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year;
}

static char *put(char *to, int64_t value, int digits)
{
	for (int i = digits - 1; i >= 0; i--, value /= 10)
		to[i] = (char)('0' + value % 10);
	return to + digits;
}

void rfc3339_format(int64_t ms, char text[RFC3339_TEXT])
{
	const int64_t last_ms = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */
	if (ms < 0 || ms > last_ms)
		ms = ms < 0 ? 0 : last_ms;
	int64_t days = ms / DAY_MS + EPOCH_DAY, rest = ms % DAY_MS;
	int64_t era = days / ERA_DAYS, day_of_era = days % ERA_DAYS;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;
	int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	char *to = put(text, era * 400 + year_of_era + (month <= 2), 4);
	*to++ = '-';
	to = put(to, month, 2);
	*to++ = '-';
	to = put(to, day, 2);
	*to++ = 'T';
	to = put(to, rest / 3600000, 2);
	*to++ = ':';
	to = put(to, rest / 60000 % 60, 2);
	*to++ = ':';
	to = put(to, rest / 1000 % 60, 2);
	*to++ = '.';
	to = put(to, rest % 1000, 3);
	*to++ = 'Z';
	*to = '\0';
}

struct cursor {
	const char *at, *end;
	bool bad;
};

static int number(struct cursor *c, int digits, int min, int max)
{
	int value = 0;
	for (int i = 0; i < digits; i++) {
		if (c->at == c->end || *c->at < '0' || *c->at > '9') {
			c->bad = true;
			return min;
		}
		value = value * 10 + (*c->at++ - '0');
	}
	if (value < min || value > max)
		c->bad = true;
	return value;
}

/* Takes one character out of `set` and returns it. */
static char one_of(struct cursor *c, const char *set)
{
	if (c->at == c->end || *c->at == '\0' || !strchr(set, *c->at)) {
		c->bad = true;
		return '\0';
	}
	return *c->at++;
}

static int fraction_ms(struct cursor *c)
{
	int ms = 0, digits = 0;
	for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, digits++)
		if (digits < 3)
			ms = ms * 10 + (*c->at - '0');
	if (digits == 0)
		c->bad = true;
	for (; digits < 3; digits++)
		ms *= 10;
	return ms;
}

/* Minutes east of Greenwich. */
static int offset(struct cursor *c)
{
	char sign = one_of(c, "Zz+-");
	if (sign == 'Z' || sign == 'z')
		return 0;
	int hours = number(c, 2, 0, 23);
	(void)one_of(c, ":");
	int minutes = hours * 60 + number(c, 2, 0, 59);
	return sign == '-' ? -minutes : minutes;
}

int rfc3339_parse(const char *text, size_t len, int64_t *ret_ms)
{
	static const int month_days[12] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct cursor c = { text, text + len, false };
	int year = number(&c, 4, 1970, 9999);
	(void)one_of(&c, "-");
	int month = number(&c, 2, 1, 12);
	(void)one_of(&c, "-");
	int day = number(&c, 2, 1, c.bad ? 31 : month_days[month - 1]);
	(void)one_of(&c, "Tt ");
	int hour = number(&c, 2, 0, 23);
	(void)one_of(&c, ":");
	int minute = number(&c, 2, 0, 59);
	(void)one_of(&c, ":");
	int second = number(&c, 2, 0, 60); /* 60: a leap second is the next minute's first */
	int ms = 0;
	if (c.at < c.end && *c.at == '.') {
		c.at++;
		ms = fraction_ms(&c);
	}
	int east = offset(&c);
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	if (c.bad || c.at != c.end || (month == 2 && day == 29 && !leap))
		return FH_EINVAL;
	int64_t days = day_number(year, month, day) - EPOCH_DAY;
	int64_t total =
		days * DAY_MS + ((int64_t)hour * 60 + minute - east) * 60000 + second * 1000 + ms;
	if (total < 0)
		return FH_EINVAL;
	*ret_ms = total;
	return 0;
}
