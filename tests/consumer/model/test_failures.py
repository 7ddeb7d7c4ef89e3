import pytest

from consumer.model.decoding import OutOfMemoryError, meaning, model_errors
from consumer.model.transcriber import TranscriberBrokenError, WindowFailedError
from shared.errors import is_retryable


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("CUDA failed with error out of memory", "memory"),
        ("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED", "memory"),
        ("CUDA failed with error an illegal memory access was encountered", "device"),
        ("CUDA failed with error unspecified launch failure", "device"),
        ("cuBLAS failed with status CUBLAS_STATUS_NOT_SUPPORTED", "device"),
        ("cuDNN failed with status CUDNN_STATUS_EXECUTION_FAILED", "device"),
        ("Library libcublas.so.12 is not found or cannot be loaded", "device"),
        ("Library libcudnn_ops.so.9 is not found or cannot be loaded", "device"),
        ("Invalid input features shape: expected an input with shape (1, 80, 3000)", "window"),
        ("", "window"),
    ],
)
def test_given_what_ctranslate2_says_then_its_meaning_is_known(text: str, means: str) -> None:
    assert meaning(text) == means


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (MemoryError("std::bad_alloc"), OutOfMemoryError),
        (RuntimeError("CUDA failed with error out of memory"), OutOfMemoryError),
        (RuntimeError("CUDA failed with error no kernel image is available"), TranscriberBrokenError),
        (RuntimeError("something else"), WindowFailedError),
        (IndexError("arrays used as indices must be of integer type"), WindowFailedError),
        (ValueError("zero-size array"), WindowFailedError),
    ],
)
def test_given_an_error_of_the_model_then_it_becomes_one_of_ours_with_its_cause(
    raised: Exception, becomes: type[Exception]
) -> None:
    with pytest.raises(becomes) as failure, model_errors():
        raise raised
    assert failure.value.__cause__ is raised


def test_given_an_error_about_one_window_then_another_try_may_help_and_a_broken_process_does_not_try() -> None:
    assert is_retryable(WindowFailedError("x"))
    assert not is_retryable(TranscriberBrokenError("x"))
