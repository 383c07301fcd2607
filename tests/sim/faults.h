/* Faults, drawn each turn of the first phase. */
#ifndef FARHAND_SIM_FAULTS_H
#define FARHAND_SIM_FAULTS_H

struct world;

void faults_draw(struct world *w);

#endif
