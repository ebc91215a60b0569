"""What the fused tasks of a graph do."""

from msi_lazy.graph.fused_task import run_fused


def fused_steps(graph):
    """List, for each fused task of a graph, the index of its block, and the functions of its steps."""
    tasks = [task for task in graph.values() if getattr(task, "func", None) is run_fused]
    found = ((task.args[2], graph[task.args[0].key].value.templates[task.args[1]]) for task in tasks)
    return [(index, [step.func for step in template.steps]) for index, template in found]
