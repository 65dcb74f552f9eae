/* dotenv files: what is read, and what is rather not guessed. */
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char *describe(const struct plains *p)
{
	struct buf out = BUF_INIT;
	for (size_t i = 0; i < p->n; i++) {
		buf_addf(&out, "%zu %s ", p->v[i].line, p->v[i].name);
		assert_int_equal(!p->v[i].fault, p->v[i].value != NULL);
		if (p->v[i].fault)
			buf_addf(&out, "!%.*s", (int)strcspn(p->v[i].fault, ";"), p->v[i].fault);
		else
			buf_addf(&out, "[%.*s]", (int)p->v[i].len, (const char *)p->v[i].value);
		buf_addc(&out, '\n');
	}
	return buf_steal(&out);
}

static void expect(const char *text, const char *want)
{
	struct err err cleanup_err = ERR_INIT;
	struct plains all cleanup_plains = {NULL, 0};
	char *got cleanup_free = NULL;
	if (dotenv_parse((const unsigned char *)text, strlen(text), &all, &err) < 0)
		got = xstrdup(err_msg(&err));
	else
		got = describe(&all);
	assert_string_equal(got, want);
}

static void test_values(void **state)
{
	(void)state;
	expect("", "");
	expect("\n# only\n   # comments\r\n\t\n", "");
	expect("A=x\nB=y", "1 A [x]\n2 B [y]\n");
	expect("\xef\xbb\xbf"
	       "A=x\r\nB=y\r\n",
	       "1 A [x]\n2 B [y]\n");
	expect("export A=x\nexport\tB=y\nexport=z\nexported=w\n", "1 A [x]\n2 B [y]\n3 export [z]\n4 exported [w]\n");
	expect("A = x y \t\nB=\nC= # nothing\nD=a#b\nE=a #b\nF==\n", "1 A [x y]\n2 B []\n3 C []\n4 D [a#b]\n5 E [a]\n6 F [=]\n");
	expect("A='x'\nB='a\nb'\nC=''\nD='$x `y` \\n \"' # c\n", "1 A [x]\n2 B [a\nb]\n4 C []\n5 D [$x `y` \\n \"]\n");
	expect("A=\"x\"\nB=\"a\\nb\\t\\\"\\\\\\$\\`\"\nC=\"a\nb\"\nD='\"'\n", "1 A [x]\n2 B [a\nb\t\"\\$`]\n3 C [a\nb]\n5 D [\"]\n");
	expect("A=100$\nB=\"5$ 6\"\n", "1 A [100$]\n2 B [5$ 6]\n");
	expect("a.b-c=x\n", "1 a.b-c [x]\n");
}

static void test_faults(void **state)
{
	(void)state;
#define DOLLAR "has a $ or ` that some programs would expand"
#define QUOTED "has a $ or ` in double quotes that some programs would expand"
#define MIDDLE "has a backslash or a quote in the middle of a value, which programs read differently"
#define BEHIND "goes on behind its closing quote, which programs read differently"
#define ESCAPE "has a backslash in double quotes before something other than n r t \" \\ $ or `"
	expect("A=$x\nB=${x}\nC=`x`\nD=a$(b)\nOK=y\n", "1 A !" DOLLAR "\n2 B !" DOLLAR "\n3 C !" DOLLAR "\n4 D !" DOLLAR "\n5 OK [y]\n");
	expect("A=\"$x\"\nB=\"`x`\"\nOK=y\n", "1 A !" QUOTED "\n2 B !" QUOTED "\n3 OK [y]\n");
	expect("A=a\\ b\nB=a\"b\"\nC=it's\nOK=y\n", "1 A !" MIDDLE "\n2 B !" MIDDLE "\n3 C !" MIDDLE "\n4 OK [y]\n");
	expect("A='a'b\nB=\"a\"'b'\nC='a'#b\nOK=y\n", "1 A !" BEHIND "\n2 B !" BEHIND "\n3 C !" BEHIND "\n4 OK [y]\n");
	expect("A=\"a\\x\"\nB=\"a\\\nb\"\nOK=y\n", "1 A !" ESCAPE "\n2 B !" ESCAPE "\n4 OK [y]\n");
	expect("A=#x\nOK=y\n", "1 A !begins with #, which some programs take for a comment\n2 OK [y]\n");
}

/* A line that can't be read may be a piece of a value: it is not shown. */
static void test_files_that_are_none(void **state)
{
	(void)state;
	char big[256];
	memset(big, 'x', sizeof(big));
	memcpy(big + 200, "=y", 3);
	static const char neither[] = ": is neither NAME=value nor a comment (a value of several lines needs quotes)";
	char *second cleanup_free = xasprintf("line 2%s", neither);
	expect("A=x\nhidden\n", second);
	expect("A=x\n=hidden\n", second);
	expect("A=x\nexport B\n", second);
	expect("A=x\nB C=hidden\n", second);
	char *first cleanup_free = xasprintf("line 1%s", neither);
	expect(big, first);
	expect("A='x\nhidden", "line 1: A: its closing quote is missing");
	expect("B=x\nA=\"x\\", "line 2: A: its closing quote is missing");
	expect("A=x\nB='\n'\nA=y\n", "line 4: A stands on line 1 already; keep one of them");
	struct plains all = {NULL, 0};
	struct err err cleanup_err = ERR_INIT;
	assert_int_equal(dotenv_parse((const unsigned char *)"A=x\0", 4, &all, &err), -1);
	assert_string_equal(err_msg(&err), "has a NUL byte: it is no text file");
}

/* Every beginning of a file is read or refused, and read within its bounds (the sanitizer looks). */
static void test_cut_anywhere(void **state)
{
	(void)state;
	static const char text[] = "export A=x # c\r\nB='a\nb'\nC=\"a\\n\\$\"  \nD = $x\n\xef\xbb\xbf";
	for (size_t len = 0; len < sizeof(text); len++) {
		unsigned char *exact cleanup_free = xmalloc(len ? len : 1);
		struct plains all cleanup_plains = {NULL, 0};
		memcpy(exact, text, len);
		dotenv_parse(exact, len, &all, NULL);
	}
}

static int setup(void **state)
{
	(void)state;
	return sodium_init() < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_files_that_are_none),
	    cmocka_unit_test(test_cut_anywhere),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
