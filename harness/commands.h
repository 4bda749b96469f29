/* The sub-commands, one cmd_<name>.c each. argv[0] is the sub-command's name. */
#ifndef BLROOF_COMMANDS_H
#define BLROOF_COMMANDS_H

#include "harness/status.h"

typedef status_t (*command_main_t)(int argc, char **argv);

status_t cmd_ceilings(int argc, char **argv);
status_t cmd_compare(int argc, char **argv);
status_t cmd_devices(int argc, char **argv);
status_t cmd_doctor(int argc, char **argv);
status_t cmd_list(int argc, char **argv);
status_t cmd_merge(int argc, char **argv);
status_t cmd_model(int argc, char **argv);
status_t cmd_predict(int argc, char **argv);
status_t cmd_report(int argc, char **argv);
status_t cmd_sweep(int argc, char **argv);

#endif
