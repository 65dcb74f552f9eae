/*
 * What libcurl says of a failure, without what is different each time.
 */
#ifndef LIB_CURL_WORDS_H
#define LIB_CURL_WORDS_H

/*
 * Takes " after 1034 ms" and " after 10001 milliseconds" out of the text. A server that is away is asked again and again, and whoever tells
 * of it once for each change would have something new to tell each time.
 */
void curl_words_settle(char *words);

#endif
