/* `farhand worker-key new|list|revoke`: which workers a server lets in. It works on the files of
 * the data folder; a server that runs on it follows within a second. */
#ifndef FARHAND_APP_WORKER_KEY_H
#define FARHAND_APP_WORKER_KEY_H

/* Runs the command whose words are argv[0] ("worker-key"), argv[1] ... Exit codes: 0 done, 1
 * failed, 2 usage, 3 not found. */
int worker_key_run(int argc, char **argv);

#endif
