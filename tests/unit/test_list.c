/* test_list.c - the intrusive list against a model: arrays of numbers in order. */
#include "unit.h"

#include <string.h>

#include "base/list.h"

#define ITEMS 40
#define LISTS 3
#define STEPS 200000

typedef struct item {
    int number;
    sl_list link;
} item;

typedef struct model {
    int numbers[ITEMS];
    int count;
} model;

static void model_insert(model *list, int place, int number) {
    memmove(&list->numbers[place + 1], &list->numbers[place],
            (size_t)(list->count - place) * sizeof(int));
    list->numbers[place] = number;
    list->count++;
}

static void model_remove(model *list, int place) {
    list->count--;
    memmove(&list->numbers[place], &list->numbers[place + 1],
            (size_t)(list->count - place) * sizeof(int));
}

static bool model_find(model *lists, int number, int *ret_list, int *ret_place) {
    for (int l = 0; l < LISTS; l++) {
        for (int i = 0; i < lists[l].count; i++) {
            if (lists[l].numbers[i] == number) {
                *ret_list = l;
                *ret_place = i;
                return true;
            }
        }
    }
    return false;
}

static void compare(sl_list *head, const model *expected) {
    int count = 0;
    assert_int_equal(sl_list_is_empty(head), expected->count == 0);
    for (sl_list *node = head->next; node != head; node = node->next) {
        assert_ptr_equal(node->next->prev, node);
        assert_true(count < expected->count);
        assert_int_equal(SL_LIST_ENTRY(node, item, link)->number, expected->numbers[count]);
        count++;
    }
    assert_int_equal(count, expected->count);
}

static item items[ITEMS];
static sl_list heads[LISTS];
static model models[LISTS];

static void insert_somewhere(sl_random_seeded *random, item *what) {
    uint32_t l = sl_random_seeded_below(random, LISTS);
    model *list = &models[l];
    int place = 0;
    switch (sl_random_seeded_below(random, 3)) {
    case 0:
        sl_list_push_back(&heads[l], &what->link);
        place = list->count;
        break;
    case 1: sl_list_push_front(&heads[l], &what->link); break;
    default:
        place = (int)sl_random_seeded_below(random, (uint32_t)list->count + 1);
        sl_list_insert_before(place == list->count ? &heads[l] : &items[list->numbers[place]].link,
                              &what->link);
        break;
    }
    model_insert(list, place, what->number);
}

static void pop_or_splice(sl_random_seeded *random) {
    uint32_t to = sl_random_seeded_below(random, LISTS);
    uint32_t from = (to + 1) % LISTS;
    if (sl_random_seeded_below(random, 8) != 0) {
        sl_list *node = sl_list_pop_front(&heads[to]);
        assert_int_equal(node == NULL, models[to].count == 0);
        if (node != NULL) {
            assert_int_equal(SL_LIST_ENTRY(node, item, link)->number, models[to].numbers[0]);
            model_remove(&models[to], 0);
        }
        return;
    }
    sl_list_splice_back(&heads[to], &heads[from]);
    for (int i = 0; i < models[from].count; i++) {
        model_insert(&models[to], models[to].count, models[from].numbers[i]);
    }
    models[from].count = 0;
}

static void test_against_model(void **state) {
    sl_random_seeded random;
    (void)state;
    unit_random_init(&random, "list");
    for (int i = 0; i < ITEMS; i++) {
        items[i].number = i;
        sl_list_init(&items[i].link);
    }
    for (int l = 0; l < LISTS; l++) {
        sl_list_init(&heads[l]);
    }
    for (int step = 0; step < STEPS; step++) {
        item *what = &items[sl_random_seeded_below(&random, ITEMS)];
        int list = 0;
        int place = 0;
        bool is_in = model_find(models, what->number, &list, &place);
        assert_int_equal(sl_list_is_linked(&what->link), is_in);
        if (sl_random_seeded_below(&random, 4) == 0) {
            pop_or_splice(&random);
        } else if (is_in) {
            sl_list_remove(&what->link);
            sl_list_remove(&what->link); /* twice is harmless */
            model_remove(&models[list], place);
        } else {
            insert_somewhere(&random, what);
        }
        for (int l = 0; l < LISTS && step % 7 == 0; l++) {
            compare(&heads[l], &models[l]);
        }
    }
}

static void test_first_of_empty(void **state) {
    sl_list head;
    (void)state;
    sl_list_init(&head);
    assert_null(sl_list_first(&head));
    assert_null(sl_list_pop_front(&head));
    sl_list_splice_back(&head, &head);
    assert_true(sl_list_is_empty(&head));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_first_of_empty),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
