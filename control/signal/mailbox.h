// SPDX-License-Identifier: BSD-3-Clause
//
// Calls handed from any thread to the thread of one GMainContext, in order. Whoever posts bounds how many
// are under way. Never runs a call in the posting thread.
#pragma once

#include <glib.h>

struct mailbox;

typedef void (*mailbox_call)(void *data);

struct mailbox *mailbox_new(GMainContext *context);
void mailbox_post(struct mailbox *m, mailbox_call call, void *data);
// In the thread of the context, nobody posting any more: what still waits is run. NULL is a no-op.
void mailbox_free(struct mailbox *m);
