/* An intrusive, circular, doubly linked list. A `struct list` is the head and also the link inside
 * an item; an item that is in no list points at itself. All operations are O(1). */
#ifndef FARHAND_BASE_LIST_H
#define FARHAND_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

/* The item that holds this link. */
#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define list_for_each(pos, head) \
	for (struct list *pos = (head)->next; pos != (head); pos = pos->next)

/* The same where the body may remove `pos`. */
#define list_for_each_safe(pos, head)                                                 \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head); \
	     pos = pos##_next, pos##_next = pos->next)

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_after(struct list *item, struct list *where)
{
	item->prev = where;
	item->next = where->next;
	where->next->prev = item;
	where->next = item;
}

static inline void list_push_back(struct list *head, struct list *item)
{
	list_insert_after(item, head->prev);
}

static inline void list_push_front(struct list *head, struct list *item)
{
	list_insert_after(item, head);
}

/* Takes the item out of the list it is in; harmless when it is in none. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* The first link, taken out; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
	if (list_empty(head))
		return NULL;
	struct list *first = head->next;
	list_remove(first);
	return first;
}

#endif
