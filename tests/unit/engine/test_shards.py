import pytest

from ncm_lib import InputError
from ncm_lib.engine.shards import Shard, shard_of_environment


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_sample_has_exactly_one_shard_and_batches_stay_whole(count):
    shards = [Shard(index=index, count=count) for index in range(count)]
    for sample in range(100):
        owners = [shard.index for shard in shards if shard.owns(sample, batch_shape=4)]
        assert len(owners) == 1
        assert shards[owners[0]].owns(sample - sample % 4, batch_shape=4)


@pytest.mark.parametrize("text", ["2/2", "3/2", "-1/2", "1", "a/b", "1/0", "0.5/2", ""])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(InputError, match=r"legal is I/N with 0 <= I < N"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, "0/1"),
        ({"RANK": "3", "WORLD_SIZE": "4"}, "3/4"),
        ({"RANK": "0", "WORLD_SIZE": "1"}, "0/1"),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, "1/2"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1",
          "SLURM_ARRAY_TASK_MAX": "7", "SLURM_ARRAY_TASK_STEP": "2"}, "2/4"),
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "3"}, "0/4"),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, "1/2"),
    ],
)  # fmt: skip
def test_a_launchers_variables_say_which_shard(environment, shard):
    assert str(shard_of_environment(environment)) == shard


def test_variables_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="The shard is 4/4"):
        shard_of_environment({"RANK": "4", "WORLD_SIZE": "4"})
