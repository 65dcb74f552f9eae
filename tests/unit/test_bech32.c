/* Bech32: BIP 173's own vectors as far as they hold bytes, age's keys, every single mistyped character. */
#include "vault/age/bech32.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* From the age specification's test kit. */
static const char identity[] = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

static void expect_invalid(const char *text, const char *hrp, size_t len, const char *why)
{
	uint8_t data[64];
	struct err err = ERR_INIT;
	memset(data, 1, sizeof(data));
	assert_int_equal(bech32_decode(text, strlen(text), hrp, data, len, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err_msg(&err), why);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(data[i], 0);
	err_clear(&err);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 40; len++) {
		uint8_t data[40], back[40];
		char text[BECH32_ROOM(3, 40)];
		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)(i * 37 + len * 11 + 5);
		bech32_encode("age", data, len, text);
		assert_int_equal(strlen(text) + 1, BECH32_ROOM(3, len));
		assert_int_equal(bech32_decode(text, strlen(text), "age", back, len, NULL), 0);
		assert_memory_equal(back, data, len);
	}
}

static void test_known(void **state)
{
	(void)state;
	uint8_t key[32], none[1];
	char text[BECH32_ROOM(15, 32)];
	assert_int_equal(bech32_decode("A12UEL5L", 8, "a", none, 0, NULL), 0); /* BIP 173 */
	assert_int_equal(bech32_decode("a12uel5l", 8, "a", none, 0, NULL), 0);
	assert_int_equal(bech32_decode(identity, strlen(identity), "age-secret-key-", key, 32, NULL), 0);
	bech32_encode("age-secret-key-", key, 32, text);
	assert_string_equal(text, "age-secret-key-1egtzvffv20835nwyv6270lxyvk2vknx2mmdkwyklmgr48uawx40q2p2lm0");
	assert_int_equal(bech32_decode("?1ezyfcl", 8, "?", none, 0, NULL), 0);
}

static void test_refusals(void **state)
{
	(void)state;
	expect_invalid("A12uel5l", "a", 0, "mixes upper and lower case");
	expect_invalid("A1G7SGD8", "a", 0, "has a wrong checksum: a character was mistyped or lost");
	expect_invalid("a12uel5", "a", 0, "is too short, or does not begin with the right letters");
	expect_invalid("b12uel5l", "a", 0, "is too short, or does not begin with the right letters");
	expect_invalid("a12uel5b", "a", 0, "has a character that can't stand in a key (position 8)");
	expect_invalid("a12uel\x7fl", "a", 0, "has a character that can't stand in a key (position 7)");
	expect_invalid("a12uel5l", "a", 1, "has the wrong length");
	expect_invalid(identity, "age-secret-key-", 31, "has the wrong length");
	expect_invalid("", "a", 0, "is too short, or does not begin with the right letters");
	char longer[BECH32_MAX + 2];
	memset(longer, 'q', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	expect_invalid(longer, "a", 32, "is longer than 128 characters");
}

/* One byte is two groups of five bits; the last two of them must be zero. The checksums are right. */
static void test_bits_behind_the_end(void **state)
{
	(void)state;
	uint8_t data[1];
	assert_int_equal(bech32_decode("age1qqpexly5", 12, "age", data, 1, NULL), 0);
	expect_invalid("age1qpu0j2ex", "age", 1, "has bits behind its end");
}

static void test_every_typo(void **state)
{
	(void)state;
	char text[sizeof(identity)];
	uint8_t key[32];
	for (size_t i = 0; i < strlen(identity); i++) {
		for (int c = '!'; c <= '~'; c++) {
			memcpy(text, identity, sizeof(identity));
			if (c == text[i])
				continue;
			text[i] = (char)c;
			assert_int_equal(bech32_decode(text, strlen(text), "age-secret-key-", key, 32, NULL), -1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),          cmocka_unit_test(test_known),      cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_bits_behind_the_end), cmocka_unit_test(test_every_typo),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
