/* Formulas: whatever the bytes, they are refused with a message that names the file, or keep every promise of formula.h. */
#include "lib/cleanup.h"
#include "tests/fuzz/must.h"
#include "vault/formula.h"
#include "vault/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_steps(const struct formula *f)
{
	must(f->n_steps >= 1 && f->n_steps <= FORMULA_MAX_STEPS);
	for (size_t i = 0; i < f->n_steps; i++) {
		must(vault_is_id(f->steps[i].id));
		must(!f->steps[i].run != !f->steps[i].prompt);
		must(!f->steps[i].agent == !f->steps[i].prompt);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char path[] = "vault/formulas/f.yaml: ";
	cleanup_formula struct formula f = FORMULA_INIT, again = FORMULA_INIT;
	cleanup_err struct err err = ERR_INIT;

	if (formula_parse("f", (const char *)data, size, &f, &err) != 0) {
		must_refuse(&err, path);
		must(!f.json);
		return 0;
	}
	must(f.user >= 1 && f.user <= 65534);
	must(f.nano_cpus >= 10000000 && f.nano_cpus <= INT64_C(1024000000000));
	must(f.memory_bytes >= 6 << 20 && f.tmp_bytes >= 64 << 10 && f.pids >= 8);
	must(f.timeout_minutes >= 1 && f.timeout_minutes <= 1440 && f.grace_seconds >= 0 && f.grace_seconds <= 300);
	must(json_is_object(f.git_auth) && f.description && f.network);
	check_steps(&f);
	/* What was taken once is taken again by whoever it is sent to. */
	must(formula_from_json("f", f.json, &again, NULL) == 0 && json_equal(f.json, again.json));
	return 0;
}
