/*
 * Log lines on standard error: logfmt or JSON, one line for each event. Only programs log; libraries return errors.
 *   log_info("dispatcher started", "spool", spool, NULL)
 *   -> time=2026-03-31T10:00:04.123Z level=info role=core msg="dispatcher started" spool=/var/lib/disinto
 * A line is one write(2), so that lines of several processes do not mix. Values are escaped; control
 * characters never reach the terminal.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* `role` is kept, not copied. */
void log_init(const char *role, enum log_level level, bool json);

/* `msg`, then pairs of key and value (strings; a NULL value is skipped together with its key), then NULL. */
void log_line(enum log_level level, const char *msg, ...) __attribute__((sentinel));
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
