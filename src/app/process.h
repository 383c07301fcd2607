/* What every server part does with its process. */
#ifndef FARHAND_APP_PROCESS_H
#define FARHAND_APP_PROCESS_H

/* Signals that are errors of calls instead; as many descriptors as the operator allows. */
void process_prepare(void);

/* It will hold secret keys: no core dump may hold them, too. */
void process_holds_secrets(void);

/* One line on stderr; EXIT_FAILURE. */
int process_fail(const char *line);

#endif
