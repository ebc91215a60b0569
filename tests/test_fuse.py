"""fuse_blocks on random graphs: the same results, no cycle, and only around roots."""

from operator import add, getitem

import dask
from dask.task_spec import Alias, DataNode, List, Task, TaskRef
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.graph.fuse import fuse_blocks

CONTEXT = "pyramid-context-token"


def root(*values):
    """What the graphs below are folded around."""
    return sum(values) + 1


def triple(value, index, *, factor=3):
    return value * factor + len(index)


def is_root(node):
    return getattr(node, "func", None) is root


@st.composite
def graphs(draw):
    """Any graph of roots, plain tasks, aliases, lists and data, each using earlier ones."""
    graph = {("data", 0): DataNode(("data", 0), 5)}
    for number in range(1, draw(st.integers(2, 25))):
        known = list(graph)
        uses = [draw(st.sampled_from(known)) for _ in range(draw(st.integers(1, 3)))]
        kind = draw(st.sampled_from(["root", "root", "add", "total", "triple", "literal", "alias", "nested"]))
        key = (kind, number)
        refs = [TaskRef(use) for use in uses]
        graph[key] = {
            "root": lambda key=key, refs=refs: Task(key, root, *refs),
            "add": lambda key=key, refs=refs: Task(key, add, refs[0], refs[-1]),
            "total": lambda key=key, refs=refs: Task(key, sum, List(*refs)),
            "triple": lambda key=key, refs=refs, n=number: Task(key, triple, refs[0], (n,), factor=2),
            "literal": lambda key=key, refs=refs: Task(key, add, refs[0], DataNode(None, 3)),
            "alias": lambda key=key, uses=uses: Alias(key, uses[0]),
            "nested": lambda key=key, refs=refs: Task(key, triple, Task(None, add, refs[0], refs[-1]), ()),
        }[kind]()
    return graph


class Recorder:
    """A task's effect: remembers the values that reached it."""

    def __init__(self):
        self.values = {}

    def __call__(self, value, name):
        self.values[name] = value


@given(graph=graphs(), data=st.data())
def test_fused_graphs_do_what_the_plain_ones_do(graph, data):
    ends = data.draw(st.lists(st.sampled_from(list(graph)), min_size=1, max_size=6, unique=True))
    plain, fused = Recorder(), Recorder()
    for recorder in (plain, fused):
        stores = {("store", n): Task(("store", n), recorder, TaskRef(end), n) for n, end in enumerate(ends)}
        tasks = graph | stores
        if recorder is fused:
            result = fuse_blocks(tasks, list(stores), is_root, "token")
            dask.get(result.tasks, list(result.sinks))
        else:
            dask.get(tasks, list(stores))
    assert fused.values == plain.values


@given(graph=graphs())
def test_each_task_runs_once_and_only_roots_take_others_in(graph):
    ends = [key for key in graph if all(key not in node.dependencies for node in graph.values())]
    result = fuse_blocks(graph, ends, is_root, "token")
    roots = sum(is_root(node) for node in graph.values())
    rest = [key for key, node in graph.items() if not _hangs_on_one_root(graph, key) and not is_root(node)]
    names = {str(key) for key in result.tasks}
    assert all(str(key) in names or str((f"{key[0]}-token", key[1])) in names for key in rest)
    picks = [node for node in result.tasks.values() if getattr(node, "func", None) is getitem]
    context = bool(roots)
    assert len(result.tasks) - len(picks) == roots + context + len(rest)


def _hangs_on_one_root(graph, key):
    above = set()
    stack = list(graph[key].dependencies)
    while stack:
        dependency = stack.pop()
        if is_root(graph[dependency]):
            above.add(dependency)
        else:
            stack.extend(graph[dependency].dependencies)
    return len(above) == 1


def test_a_chain_becomes_one_task_without_a_value():
    graph = {
        ("r", 0): Task(("r", 0), root),
        ("s", 0): Task(("s", 0), add, TaskRef(("r", 0)), 1),
    }
    result = fuse_blocks(graph, [("s", 0)], is_root, "token")
    assert list(result.tasks) == [("r-token", 0), CONTEXT]
    assert result.sinks == (("r-token", 0),)
    assert dask.get(result.tasks, ("r-token", 0)) is None


def test_a_fused_task_hands_on_only_what_others_need():
    graph = {
        ("r", 0): Task(("r", 0), root),
        ("r", 1): Task(("r", 1), root),
        ("carry", 0): Task(("carry", 0), add, TaskRef(("r", 0)), 10),
        ("carry", 1): Task(("carry", 1), add, TaskRef(("r", 1)), 20),
        ("merge", 0): Task(("merge", 0), sum, List(TaskRef(("carry", 0)), TaskRef(("carry", 1)))),
        ("store", 0): Task(("store", 0), add, TaskRef(("r", 0)), 1),
    }
    result = fuse_blocks(graph, [("merge", 0), ("store", 0)], is_root, "token")
    assert set(result.tasks) == {("carry-token", 0), ("carry-token", 1), ("merge-token", 0), CONTEXT}
    assert result.sinks == (("merge-token", 0),)
    assert dask.get(result.tasks, ("merge-token", 0)) == 32


def test_blocks_that_differ_in_their_index_only_share_one_template():
    graph = {}
    for n in range(10):
        graph[("r", n)] = Task(("r", n), root)
        graph[("t", n)] = Task(("t", n), triple, TaskRef(("r", n)), (n,))
    result = fuse_blocks(graph, [("t", n) for n in range(10)], is_root, "token")
    assert len(result.tasks[CONTEXT].value.templates) == 1


def test_an_index_given_as_data_and_an_alias_are_no_reason_for_another_template():
    graph = {}
    for n in range(10):
        graph[("r", n)] = Task(("r", n), root)
        graph[("t", n)] = Task(("t", n), triple, TaskRef(("r", n)), DataNode(None, (n,)))
        graph[("a", n)] = Alias(("a", n), ("t", n))
    result = fuse_blocks(graph, [("a", n) for n in range(10)], is_root, "token")
    assert len(result.tasks[CONTEXT].value.templates) == 1
    assert dask.get(result.tasks, list(result.sinks)) == (None,) * 10


def test_values_are_released_as_soon_as_no_step_needs_them():
    import weakref

    class Block:
        pass

    alive = []

    def make():
        block = Block()
        alive.append(weakref.ref(block))
        return block

    def use(block):
        return Block()

    def check(_other):
        return alive[0]() is None

    graph = {
        ("r", 0): Task(("r", 0), make),
        ("u", 0): Task(("u", 0), use, TaskRef(("r", 0))),
        ("c", 0): Task(("c", 0), check, TaskRef(("u", 0))),
        ("e", 0): Task(("e", 0), sum, List(TaskRef(("c", 0)), TaskRef(("o", 0)))),
        ("o", 0): Task(("o", 0), root),
    }
    result = fuse_blocks(graph, [("e", 0)], lambda node: node.func in (make, root), "token")
    assert dask.get(result.tasks, ("c-token", 0)) is True


def test_a_root_and_its_members_can_both_be_needed_outside():
    graph = {
        ("r", 0): Task(("r", 0), root),
        ("r", 1): Task(("r", 1), root),
        ("a", 0): Task(("a", 0), add, TaskRef(("r", 0)), 10),
        ("e", 0): Task(("e", 0), sum, List(TaskRef(("r", 0)), TaskRef(("a", 0)), TaskRef(("r", 1)))),
    }
    result = fuse_blocks(graph, [("e", 0)], is_root, "token")
    assert dask.get(result.tasks, ("e-token", 0)) == 1 + 11 + 1


def test_data_that_all_blocks_use_is_in_the_context_that_they_wait_for_alone():
    graph = {"shared": DataNode("shared", 5), "other": DataNode("other", 7)}
    for n in range(3):
        graph[("r", n)] = Task(("r", n), root, TaskRef("shared"))
        graph[("t", n)] = Task(("t", n), add, TaskRef(("r", n)), TaskRef("other"))
    graph[("e", 0)] = Task(("e", 0), sum, List(TaskRef("other"), *(TaskRef(("t", n)) for n in range(3))))
    result = fuse_blocks(graph, [("e", 0)], is_root, "token", held=["shared", "other"])
    blocks = [task for key, task in result.tasks.items() if key[0] == "t-token"]
    assert [task.dependencies for task in blocks] == [{CONTEXT}] * 3
    assert set(result.tasks) - {("t-token", n) for n in range(3)} == {CONTEXT, "other", ("e-token", 0)}
    assert result.tasks[CONTEXT].value.held == {"shared": 5, "other": 7}
    assert dask.get(result.tasks, ("e-token", 0)) == dask.get(graph, ("e", 0))


def test_two_writes_of_one_graph_have_no_task_in_common_but_their_sources():
    graph = {
        ("data", 0): DataNode(("data", 0), 5),
        ("r", 0): Task(("r", 0), root, TaskRef(("data", 0))),
        ("r", 1): Task(("r", 1), root),
        ("e", 0): Task(("e", 0), sum, List(TaskRef(("r", 0)), TaskRef(("r", 1)))),
    }
    one, other = (set(fuse_blocks(graph, [("e", 0)], is_root, token).tasks) for token in ("one", "other"))
    assert one & other == {("data", 0)}
