/* Archives: whatever the bytes, what comes out has a name that stays below, and no more content than was there. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/path.h"
#include "lib/tar.h"
#include "tests/fuzz/must.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_fd int in = memfd_create("tar", MFD_CLOEXEC);
	cleanup_err struct err err = ERR_INIT;
	struct tar_entry e = {.size = 0};
	size_t total = 0;
	int rc;

	must(in >= 0 && fd_write_all(in, data, size, NULL) == 0 && lseek(in, 0, SEEK_SET) == 0);
	while ((rc = tar_next(in, &e, &err)) == 1) {
		cleanup_buf struct buf text = BUF_INIT;
		must(e.name[0] && e.name[0] != '/' && !path_goes_up(e.name));
		if (tar_read(in, &e, size, &text, NULL) == 0)
			total += text.len;
		must(total <= size);
	}
	if (rc < 0)
		must_refuse(&err, "archive: ");
	return 0;
}
