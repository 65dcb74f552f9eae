/*
 * A backup: a tar archive (lib/tar.h) of these files, in this order.
 *
 *   manifest.json          {format, version: of the program, spool_version, dispatcher_id, time, sealed: {key: path}}
 *   site/dispatcher.yaml   the configuration, as it is
 *   sealed/<key>.age       each file that the configuration names, encrypted; where `sealed` says, from the site's folder
 *   spool/…                but the clone, the lock and the socket; dispatcher.json last
 */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "lib/err.h"
#include <stdint.h>

#define BACKUP_FORMAT 1
#define BACKUP_MANIFEST "manifest.json"
#define BACKUP_CONFIG "site/dispatcher.yaml"
#define BACKUP_SEALED "sealed/"
#define BACKUP_SPOOL "spool/"
#define BACKUP_LAST "dispatcher.json"
#define BACKUP_TEXT_MAX ((size_t)1 << 20) /* of a manifest, a configuration, a file that it names */

#endif
