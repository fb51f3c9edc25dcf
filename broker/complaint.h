/*
 * complaint.h - what sluiced says where there is no log yet, or none any more.
 */
#ifndef SLUICE_BROKER_COMPLAINT_H
#define SLUICE_BROKER_COMPLAINT_H

/* "sluiced: WHAT", a line on standard error, and in the log file if there is one. */
void complaint_write(const char *what);

#endif
