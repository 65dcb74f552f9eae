/* Files that somebody else's tools wrote: compose files, with all that YAML can, and TOML. */
#include "compose/read.h"
#include "lib/toml.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct json_limits limits = {65536, 16};
	cleanup_compose_document struct compose_document document = COMPOSE_DOCUMENT_INIT;
	json_t *value = NULL;

	if (compose_read((const char *)data, len, &document, NULL) == 0)
		must(json_is_object(document.tree));
	if (toml_parse((const char *)data, len, &limits, &value, NULL) == 0)
		must(json_is_object(value));
	json_decref(value);
	return 0;
}
