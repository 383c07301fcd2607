/* Which of the planted bugs this process has; part of builds with -Dplants=true only. */
#include "base/plant.h"

enum plant fh_plant = PLANT_NONE;
